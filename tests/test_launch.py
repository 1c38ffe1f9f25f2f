"""Pins launch/: scripts parse, dry runs print what would be done, and what runs locally runs."""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest
import yaml

from dtgan import evaluate, generate, main

pytestmark = pytest.mark.faults

ROOT = pathlib.Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = [
    *sorted(LAUNCH.glob("*.sh")),
    *sorted(LAUNCH.glob("*.sbatch")),
    *sorted((ROOT / "findings").glob("*.sh")),
    ROOT / ".ci" / "run",
]
MACHINES = ("gpu_vm.sh", "tpu_vm.sh")


def run(*command, env=None, **options):
    env = os.environ | (env or {})
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env, **options)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_parse(path):
    assert run("bash", "-n", path).returncode == 0
    assert path.name == "vm.sh" or path.stat().st_mode & 0o100, "not executable"
    if shutil.which("shellcheck"):
        found = run("shellcheck", "-x", path, cwd=ROOT)
        assert found.returncode == 0, found.stdout


def test_run_without_a_command_prints_its_use():
    found = run(LAUNCH / "run.sh")
    assert found.returncode == 2 and "dtgan.main" in found.stdout and "DTGAN_EXTRAS" in found.stdout


@pytest.fixture
def fresh(tmp_path):
    """A checkout with a stand-in for Python: fresh(*words) -> process of run.sh.

    It makes environments in which it is the interpreter, and writes into a log what it is asked.
    Its pip takes as long as a file `slow` is there.
    """
    shutil.copytree(LAUNCH, tmp_path / "launch")
    shutil.copy(ROOT / "setup.py", tmp_path)
    stand_in = tmp_path / "python"
    stand_in.write_text(
        f"""#!/bin/bash
        echo "$2 ${{3:-}}" >>{tmp_path}/log
        case "$2" in
          venv) rm -rf "$4" && mkdir -p "$4/bin" && cp {tmp_path}/python "$4/bin/python" ;;
          pip) while [ -e {tmp_path}/slow ]; do sleep 0.02; done ;;
        esac
        """
    )
    stand_in.chmod(0o755)
    env = os.environ | {"DTGAN_PYTHON": str(stand_in)}
    env.pop("DTGAN_VENV", None)

    def start(*words):
        command = [tmp_path / "launch/run.sh", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=env, start_new_session=True, **pipes)

    return start


def asked(tmp_path, what):
    log = tmp_path / "log"
    return log.read_text().count(what) if log.exists() else 0


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_interrupted_installation_is_begun_anew(fresh, tmp_path):
    (tmp_path / "slow").touch()
    process = fresh("true")
    until(lambda: asked(tmp_path, "pip install"))
    os.killpg(process.pid, 9)
    process.communicate()
    (tmp_path / "slow").unlink()
    for installed in (2, 2):  # and then it is there
        process = fresh("echo", "hello")
        out, errors = process.communicate(timeout=30)
        assert process.returncode == 0 and out == "hello\n", errors
        assert asked(tmp_path, "venv --clear") == asked(tmp_path, "pip install") == installed


def test_two_at_once_install_once_and_one_says_that_it_waits(fresh, tmp_path):
    (tmp_path / "slow").touch()
    first = fresh("true")
    until(lambda: asked(tmp_path, "pip install"))
    second = fresh("true")
    assert "waiting for another one" in second.stderr.readline()
    (tmp_path / "slow").unlink()
    for process in (first, second):
        process.communicate(timeout=30)
        assert process.returncode == 0
    assert asked(tmp_path, "pip install") == 1


def test_an_environment_without_its_interpreter_is_made_anew(fresh, tmp_path):
    fresh("true").communicate(timeout=30)
    interpreter = tmp_path / ".venv/bin/python"
    interpreter.unlink()
    interpreter.symlink_to("gone")
    process = fresh("python", "-m", "x")
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0 and "installing" in errors
    assert asked(tmp_path, "pip install") == 2 and not interpreter.is_symlink()


@pytest.mark.parametrize("script", MACHINES)
def test_dry_runs_print_the_commands(script):
    env = {"NAME": "mine", "ZONE": "here-1"}
    verbs = ["create", "sync", "run python -m x --flag=a,b", "logs", "stop", "fetch runs", "delete"]
    for verb in verbs:
        found = run(LAUNCH / script, "--dry_run", *verb.split(), env=env)
        assert found.returncode == 0 and not found.stderr, found.stderr
        lines = [line for line in found.stdout.splitlines() if "gcloud" in line]
        assert lines and all("mine" in line and "here-1" in line for line in lines)
    for verb in ([], ["start"], ["run"], ["fetch"]):
        found = run(LAUNCH / script, "--dry_run", *verb)
        assert found.returncode == 2 and "usage: launch/" in found.stderr


def test_what_runs_on_a_machine(tmp_path):
    """The same lines with this machine in the place of the remote one: sync, run, stop."""
    home = tmp_path / "home"
    home.mkdir()
    script = tmp_path / "local.sh"
    script.write_text(
        f"""set -euo pipefail
        PLATFORM=local EXTRAS=none VARIABLES=none
        source {LAUNCH}/vm.sh
        vm_ssh() {{ (cd {home} && bash -c "$2"); }}
        vm_copy() {{ cp "$1" {home}/; }}
        command() {{ return 0; }}
        vm_main "$@"
        """
    )
    # A stand-in for run.sh, which would install: what reaches it is what is looked at.
    checkout = tmp_path / "checkout"
    (checkout / "launch").mkdir(parents=True)
    (checkout / "launch/run.sh").write_text('#!/bin/bash\necho "$DTGAN_EXTRAS:$*"\nexec "$@"\n')
    (checkout / "launch/run.sh").chmod(0o755)
    shutil.copyfile(LAUNCH / "vm.sh", checkout / "launch/vm.sh")
    script.write_text(script.read_text().replace(str(LAUNCH), str(checkout / "launch")))
    for command in (["git", "init", "-q"], ["bash", script, "sync"]):
        found = run(*command, cwd=checkout)
        assert found.returncode == 0, found.stderr
    assert "none:true" in found.stdout
    assert run("bash", script, "run", "sleep", "60").returncode == 0
    until = time.monotonic() + 20
    while not (home / "dtgan.pid").exists() or "sleep" not in (home / "dtgan.log").read_text():
        assert time.monotonic() < until
        time.sleep(0.05)
    assert (home / "dtgan.log").read_text() == "none:sleep 60\n"
    pid = int((home / "dtgan.pid").read_text())
    assert run("bash", script, "stop").returncode == 0
    while pathlib.Path(f"/proc/{pid}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


VERDICT = ("--config=c", "--config.data.group=^(a b)", "--", "--num_per_class=3", "--", "--seeds=2")


def test_a_verdict_over_folds_goes_on_where_it_was_stopped(tmp_path):
    """A stand-in for run.sh leaves what the verbs leave; the second training is stopped once."""
    (tmp_path / "launch").mkdir()
    shutil.copy(LAUNCH / "verdict.sh", tmp_path / "launch")
    stand_in = tmp_path / "launch/run.sh"
    stand_in.write_text(
        f"""#!/bin/bash
        for word in "$@"; do printf '<%s>' "$word"; done >>{tmp_path}/log; echo >>{tmp_path}/log
        for word in "$@"; do
          case $word in --workdir=*) gan=${{word#*=}};; --out=*) set=${{word#*=}};; esac
        done
        mkdir -p "${{set:-$gan}}"
        case $3 in
          dtgan.main) [ "$gan" != runs/gan_1 ] || [ -e stopped ] || {{ touch stopped; exit 0; }}
            touch "$gan/summary.json" ;;
          dtgan.generate) touch "$set/_SUCCESS" ;;
        esac
        """
    )
    stand_in.chmod(0o755)
    script = tmp_path / "launch/verdict.sh"
    for code in (1, 0, 0):
        found = run(script, "runs", "2", *VERDICT)
        assert found.returncode == code, found.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    verbs = [line.split(">")[2].removeprefix("<dtgan.") for line in lines]
    assert verbs == ["main", "generate", "main", "main", "generate", "classify", "classify"]
    assert "<--config.data.group=^(a b)><--config.data.fold=1/2><--workdir=runs/gan_1>" in lines[3]
    assert lines[4].endswith("<--workdir=runs/gan_1><--out=runs/set_1><--num_per_class=3>")
    for word in ("--config.data.group=^(a b)", "--folds=2", "--synthetic=runs/set_{fold}"):
        assert f"<{word}>" in lines[5]
    assert "<--config=c>" not in lines[5] and lines[5].endswith("<--choose><--seeds=2>")


def test_a_verdict_tells_its_use_and_what_it_would_run():
    for arguments in ([], ["out", "3"], ["out", "1", "--config=c"], ["out", "x", "--config=c"]):
        found = run(LAUNCH / "verdict.sh", *arguments)
        assert found.returncode == 2 and "launch/verdict.sh [--dry_run] OUT K" in found.stderr
    found = run(LAUNCH / "verdict.sh", "--dry_run", "nowhere", "3", *VERDICT)
    assert found.returncode == 0 and found.stderr.count("== python -m dtgan.") == 7
    assert not (ROOT / "nowhere").exists()
    defined = (ROOT / "dtgan/classify.py").read_text()  # two verbs cannot be imported together
    last = found.stderr.splitlines()[-1]
    for flag in re.findall(r" --([a-z]+)[= ]", last):
        assert f'"{flag}"' in defined, flag


@pytest.mark.parametrize("finished", [True, False])
def test_slurm_goes_back_into_the_queue_until_it_is_done(tmp_path, finished):
    shutil.copytree(LAUNCH, tmp_path / "launch")
    for name in ("srun", "scontrol", "launch/run.sh"):
        (tmp_path / name).write_text(f'#!/bin/bash\necho {name} "$@" >>{tmp_path}/log\n')
        (tmp_path / name).chmod(0o755)
    (tmp_path / "runs").mkdir()
    if finished:
        (tmp_path / "runs/summary.json").write_text("{}")
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2"}
    env["SLURM_SUBMIT_DIR"] = str(tmp_path)
    found = run("bash", LAUNCH / "slurm.sbatch", "--config=c", "--workdir=runs", env=env)
    assert found.returncode == 0, found.stderr
    lines = (tmp_path / "log").read_text().splitlines()
    start = "srun launch/run.sh python -m dtgan.main --config=c --workdir=runs --distributed"
    assert lines[1] == start and lines[2:] == ([] if finished else ["scontrol requeue 7"])
    assert run("bash", LAUNCH / "slurm.sbatch", "--config=c", env=env).returncode == 2


def test_the_jobset_uses_flags_that_exist():
    (jobset,) = yaml.safe_load_all((LAUNCH / "k8s_jobset.yaml").read_text())
    jobs = {job["name"]: job["template"]["spec"] for job in jobset["spec"]["replicatedJobs"]}
    assert jobs.keys() == {"train", "evaluate"} and jobset["spec"]["failurePolicy"]["maxRestarts"]
    commands = {
        name: job["template"]["spec"]["containers"][0]["args"] for name, job in jobs.items()
    }
    known = set(main.FLAGS)
    for flag in commands["train"][3:]:
        assert flag.partition("=")[0].removeprefix("--") in known, flag
    assert commands["train"][:3] == ["python", "-m", "dtgan.main"]
    evaluate._parser().parse_args(commands["evaluate"][3:])
    path = commands["train"][3].removeprefix("--config=").partition(":")[0]
    assert (ROOT / path).exists()


def test_an_array_divides_a_set_into_shards(tmp_path):
    shutil.copytree(LAUNCH, tmp_path / "launch")
    (tmp_path / "launch/run.sh").write_text('#!/bin/bash\necho "$*"\n')
    env = {"SLURM_SUBMIT_DIR": str(tmp_path), "SLURM_ARRAY_TASK_COUNT": "4"}
    env |= {"SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_ID": "4"}
    found = run("bash", LAUNCH / "generate.sbatch", "--workdir=a", "--out=b c", env=env)
    assert found.stdout == "python -m dtgan.generate --shard=3/4 --workdir=a --out=b c\n"
    del env["SLURM_ARRAY_TASK_ID"]
    found = run("bash", LAUNCH / "generate.sbatch", "--workdir=a", env=env)
    assert found.returncode == 2 and "not an array" in found.stderr


def test_the_indexed_job_draws_all_shards():
    job = yaml.safe_load((LAUNCH / "k8s_generate.yaml").read_text())["spec"]
    command = job["template"]["spec"]["containers"][0]["args"]
    assert job["completionMode"] == "Indexed" and job["completions"] == job["parallelism"]
    arguments = generate._parser().parse_args(command[3:])
    assert arguments.shard == f"$(JOB_COMPLETION_INDEX)/{job['completions']}"


def test_the_image_is_made_of_files_that_exist():
    lines = (LAUNCH / "Dockerfile").read_text().splitlines()
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY")]
    assert copied and all((ROOT / path).exists() for paths in copied for path in paths)
