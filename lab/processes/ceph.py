"""Ceph's own server of S3 on loopback: a monitor, an OSD in memory and `radosgw`, in one folder.

It needs the programs of Debian's packages radosgw, ceph-mon, ceph-osd and ceph-common, and neither
systemd nor `/etc/ceph`. Nothing is kept: the OSD's objects are in its memory.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from lab.processes.bucket import KEY, S3, SECRET, listens
from lab.processes.ports import free_port
from lab.processes.service import end_process, wait_for_start

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "monmaptool", "ceph")
_STEP_SECONDS = 120.0  # of a command that begins something; the first makes the pools
_CONF = """\
[global]
fsid = {fsid}
mon_host = {monitors}
public_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {folder}
admin_socket =
pid_file =
log_file = {folder}/$name.log
mon_cluster_log_file = {folder}/cluster.log
mon_data = {folder}/mon
osd_data = {folder}/osd
rgw_data = {folder}/rgw
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_crush_initial_weight = 1
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
rgw_rados_pool_pg_num_min = 4
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
rgw_frontends = beast endpoint=127.0.0.1:{port}
rgw_thread_pool_size = 32
"""


def missing_programs() -> list[str]:
    """Of those that are needed, the ones that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def ceph_server(folder: Path) -> Iterator[S3]:
    """Ceph, with a user who has `KEY` and `SECRET`; ended after the block."""
    ceph = _Ceph(folder)
    ceph.configure()
    with ExitStack() as stack:
        port = ceph.port
        stack.enter_context(ceph.running("ceph-mon", "-f", "-i", "a"))
        number = ceph.said("ceph", "--connect-timeout", "60", "osd", "create").strip()
        ceph.said("ceph-osd", "--mkfs", "-i", number)
        stack.enter_context(ceph.running("ceph-osd", "-f", "-i", number))
        ceph.said(
            *("radosgw-admin", "user", "create", "--uid", "tests", "--display-name", "tests"),
            *("--access-key", KEY, "--secret-key", SECRET),
        )
        server = stack.enter_context(ceph.running("radosgw", "-f", "-n", "client.rgw"))
        log = folder / "radosgw.out"
        wait_for_start(server, lambda: listens(port), log, "radosgw")
        yield S3(port)


class _Ceph:
    """Its programs, by one configuration."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._conf = folder / "ceph.conf"
        self._fsid = str(uuid.uuid4())
        self._environment = {**os.environ, "CEPH_CONF": str(self._conf)}

    def configure(self) -> None:
        """Writes the configuration, and what the monitor begins with."""
        monitors = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
        for name in ("osd", "rgw"):
            (self.folder / name).mkdir()
        self._conf.write_text(
            _CONF.format(fsid=self._fsid, monitors=monitors, folder=self.folder, port=self.port)
        )
        monmap = str(self.folder / "monmap")
        self.said("monmaptool", "--create", "--fsid", self._fsid, "--addv", "a", monitors, monmap)
        self.said("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap)

    def said(self, *command: str) -> str:
        """What a command says that ends by itself."""
        done = subprocess.run(
            command,
            env=self._environment,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=_STEP_SECONDS,
            check=False,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(command[:3])}: {done.stderr[-2000:]}")
        return done.stdout

    @contextmanager
    def running(self, program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program that goes on."""
        with (self.folder / f"{program}.out").open("wb") as output:
            process = subprocess.Popen(
                [program, *arguments],
                env=self._environment,
                cwd=self.folder,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            end_process(process)
