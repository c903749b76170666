"""The set-up's pure parts: what it reads out of other programs' words, and what it decides."""

import subprocess
from pathlib import Path

import pytest

from tools import debian, ground, node, postgres, provision, python_env
from tools.ground import ROOT, SetupError

LOCKS = sorted((ROOT / "tools/lock").glob("*.txt"))
RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_CODENAME=bookworm\n'
INDEXES = """\
'http://mirror.example/security/dists/bookworm-security/InRelease' security_InRelease 0
'http://mirror.example/debian/dists/bookworm-updates/InRelease' updates_InRelease 0
'http://mirror.example/debian/dists/bookworm/InRelease' debian_InRelease 0
"""
PLAN = """\
'http://mirror.example/pool/libcjson1_1.7.15_amd64.deb' libcjson1_1.7.15_amd64.deb 24600 SHA256:1
'http://mirror.example/pool/mosquitto_2.0.11_amd64.deb' mosquitto_2.0.11_amd64.deb 275400 SHA256:2
"""


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UNS_CACHE", str(tmp_path))
    return tmp_path


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_plan_is_summed_up() -> None:
    assert debian.summary(PLAN) == "2 packages, 0.3 MB"
    assert debian.summary("") == "0 packages, 0.0 MB"


def test_the_mirror_is_that_of_the_release_itself() -> None:
    assert debian.mirror_of(RELEASE, INDEXES) == "http://mirror.example/debian"


@pytest.mark.parametrize(
    ("release", "indexes"),
    [(RELEASE, ""), ("", INDEXES), (RELEASE.replace("ID=debian", "ID=other"), INDEXES)],
)
def test_no_mirror_is_an_error(release: str, indexes: str) -> None:
    with pytest.raises(SetupError, match="no Debian mirror"):
        debian.mirror_of(release, indexes)


def test_the_highest_version_wins_by_number(tmp_path: Path) -> None:
    for version in ("9.6", "9", "15"):
        program(tmp_path / f"usr/lib/postgresql/{version}/bin/postgres", "")
    found = debian.newest(tmp_path, "postgres")
    assert found == tmp_path / "usr/lib/postgresql/15/bin/postgres"


def test_a_half_unpacked_program_does_not_count(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(debian.PACKAGE_OF, "uns-probe", "uns-probe-package")
    path = program(cache / "debian/usr/bin/uns-probe", "")
    assert debian.locate("uns-probe") is None
    debian.marker("uns-probe-package").parent.mkdir()
    debian.marker("uns-probe-package").touch()
    assert debian.locate("uns-probe") == path


def test_a_wrapped_command_becomes_its_program_with_its_libraries(cache: Path) -> None:
    (cache / "debian/usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    inner = program(cache / "debian/usr/bin/mosquitto_sub", 'echo "$LD_LIBRARY_PATH" "$@" $$')
    debian.wrap([inner])
    with subprocess.Popen([cache / "bin/mosquitto_sub", "a b"], stdout=subprocess.PIPE) as child:
        libraries, *arguments, pid = child.communicate()[0].decode().split()
    assert Path(libraries).resolve() == cache / "debian/usr/lib/x86_64-linux-gnu"
    assert arguments == ["a", "b"]
    assert int(pid) == child.pid


def test_without_apt_the_reason_is_told(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(cache))
    with pytest.raises(SetupError, match="no apt-get"):
        debian.provide(["mosquitto"])


def test_pip_settings_reach_uv_and_the_environment_outweighs_the_file() -> None:
    config = (
        ":env:.cert='/env.pem'\n"
        "global.cert='/file.pem'\n"
        "global.extra-index-url='\\nhttps://a.example/simple\\nhttps://b.example/simple'\n"
        "global.find-links='/wheels'\n"
        "install.timeout='30'"
    )
    found = python_env.uv_environment(config, {})
    assert found["SSL_CERT_FILE"] == "/env.pem"
    assert found["UV_INDEX"] == "https://a.example/simple https://b.example/simple"
    assert found["UV_HTTP_TIMEOUT"] == "30"
    assert found["UV_PYTHON_DOWNLOADS"] == "never"


def test_a_variable_set_for_uv_stays() -> None:
    config = "global.index-url='https://a.example/simple'"
    assert "UV_DEFAULT_INDEX" not in python_env.uv_environment(config, {"UV_DEFAULT_INDEX"})


def test_a_fingerprint_tells_every_change_apart(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    missing = ground.fingerprint(lock)
    lock.write_text("")
    empty = ground.fingerprint(lock)
    lock.write_text("ab")
    seen = {missing, empty, ground.fingerprint(lock), ground.fingerprint("a", "b")}
    assert len(seen) == 4
    assert ground.fingerprint("ab") == ground.fingerprint(lock)


def test_a_stamp_is_current_only_for_its_fingerprint(tmp_path: Path) -> None:
    stamp = tmp_path / "stamp"
    assert not ground.is_current(stamp, "a")
    stamp.write_text("a")
    assert ground.is_current(stamp, "a")
    assert not ground.is_current(stamp, "b")


def test_a_failed_program_is_told_with_its_end() -> None:
    with pytest.raises(SetupError, match=r"(?s)ended with status 3.*line 40") as caught:
        ground.run(["sh", "-c", "seq -f 'line %g' 40; exit 3"], quiet=True)
    assert "line 25\n" not in str(caught.value)


@pytest.mark.parametrize(("version", "number"), [("v20.1.0\n", 20), ("18.19.0", 18), ("?", 0)])
def test_node_versions(version: str, number: int) -> None:
    assert node.major(version) == number


@pytest.mark.parametrize(
    ("root", "tree", "entrance"),
    [
        (True, None, "setpriv"),
        (True, Path("/tree"), "chroot"),
        (False, None, "/bin/postgres"),
        (False, Path("/tree"), "unshare"),
    ],
)
def test_postgresql_is_never_started_as_root(
    monkeypatch: pytest.MonkeyPatch, *, root: bool, tree: Path | None, entrance: str
) -> None:
    monkeypatch.setattr(postgres, "is_root", lambda: root)
    command = postgres.Installation(Path("/bin"), root=tree).command("postgres", "-D", "x")
    assert command[0] == entrance
    assert command[-3:] == ["/bin/postgres", "-D", "x"]


def refuse() -> None:
    raise SetupError("nobody answers")


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_a_missing_service_fails_in_ci_only(
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    status: int,
) -> None:
    target = provision.Target("dev", services=(("Clock", refuse),), without="it will be late")
    monkeypatch.setitem(provision.TARGETS, "probe", target)
    monkeypatch.setattr(python_env, "is_ready", lambda _: True)
    monkeypatch.setattr("sys.argv", ["provision", "probe"])
    monkeypatch.setenv("CI", ci)
    assert provision.main() == status
    printed = capsys.readouterr()
    assert printed.err == "setup: no Clock: nobody answers\nsetup: it will be late\n"
    assert printed.out == ""
    assert cache.is_dir()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_a_lock_pins_hashes_and_names_no_address(lock: Path) -> None:
    text = lock.read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith(" ")]
    assert "://" not in text
    assert all("==" in pin and pin.endswith("\\") for pin in pins)
    assert pins


def test_the_runtime_lock_is_part_of_the_dev_lock() -> None:
    runtime, dev = (
        {
            line
            for line in (ROOT / f"tools/lock/{name}.txt").read_text().splitlines()
            if "==" in line
        }
        for name in ("runtime", "dev")
    )
    assert runtime < dev


def test_the_npm_lock_names_no_download_address() -> None:
    text = (ROOT / "tests/node/package-lock.json").read_text()
    assert '"resolved"' not in text
    assert '"integrity"' in text
