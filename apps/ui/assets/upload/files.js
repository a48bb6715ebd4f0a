// What was dropped: files as they are, and the videos of folders, however deep.

/**
 * @param {DataTransfer} transfer of a drop; read at once, since it is empty afterwards.
 * @param {(file: File) => boolean} wanted which files of a folder are taken.
 */
export async function pickedFrom(transfer, wanted) {
  const items = [...transfer.items].filter((item) => item.kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile()).filter(Boolean);
  const picked = { files: entries.filter((one) => one instanceof File), leftOut: 0 };
  for (const entry of entries.filter((one) => !(one instanceof File))) await gather(entry, picked, entry.isFile ? () => true : wanted);
  return picked;
}

async function gather(entry, picked, wanted) {
  if (entry.isFile) {
    const file = await new Promise((resolve) => entry.file(resolve, () => resolve(null)));
    if (file === null || !wanted(file)) {
      picked.leftOut += 1;
      return;
    }
    file.relativePath = entry.fullPath;
    picked.files.push(file);
    return;
  }
  const reader = entry.createReader();
  while (true) { // a hundred at a time
    const some = await new Promise((resolve) => reader.readEntries(resolve, () => resolve([])));
    if (some.length === 0) return;
    for (const one of some) await gather(one, picked, wanted);
  }
}
