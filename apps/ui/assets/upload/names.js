// Names of episodes: made of files' names, and what is wrong with one. Pure.

const VIDEOS = new Set((
  "mp4 m4v mov 3gp mkv webm avi flv ogv wmv asf ts mts m2ts mpg mpeg vob mxf gxf dv wtv rm rmvb nut " +
  "ivf obu mjpeg mjpg y4m h264 264 hevc 265 m2v vc1"
).split(" "));

/** As apps.common.names.name_after, of a file's name with its ending. */
export function nameAfter(filename) {
  const stem = filename.replace(/\.[^.]*$/, "");
  const dashed = stem.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/\.{2,}/g, ".");
  return dashed.replace(/^[-._]+|[-._]+$/g, "").slice(0, 100) || "episode";
}

/** A name that is not among `used`: with its folder's, where that helps. */
export function freeName(file, used) {
  const name = nameAfter(file.name);
  const folder = (file.webkitRelativePath || file.relativePath || "").split("/").at(-2);
  return used.has(name) && folder ? nameAfter(`${folder}-${file.name}`) : name;
}

/**
 * A sentence on what is wrong with a name, or "".
 *
 * @param {string} name
 * @param {RegExp} pattern of legal names.
 * @param {Set<string>} taken names of episodes.
 * @param {string[]} others names of the other files.
 */
export function problemWith(name, pattern, taken, others) {
  if (!pattern.test(name) || name.includes("..")) {
    return "Use letters, digits, '.', '_' and '-', at most 128, and begin with a letter or digit.";
  }
  if (taken.has(name)) return `There is an episode ${name} already. Choose another name.`;
  if (others.includes(name)) return "Two of these files have this name.";
  return "";
}

/** Whether a file of a folder is one to send. */
export function isVideo(file) {
  return VIDEOS.has(file.name.split(".").at(-1).toLowerCase());
}
