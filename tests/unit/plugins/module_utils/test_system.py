"""How much memory is left, as the kernel and a container tell it."""

from plugins.module_utils.provision import system


def test_memory_is_what_the_container_may_still_use(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:   16000000 kB\n")
    assert system.memory_available(str(tmp_path)) == 16000000 * 1024
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("4000000000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("1000000000\n")
    assert system.memory_available(str(tmp_path)) == 3000000000
    (tmp_path / "sys/fs/cgroup/memory.stat").write_text("active_file 5\ninactive_file 200000000\n")
    assert system.memory_available(str(tmp_path)) == 3200000000
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("max\n")
    assert system.memory_available(str(tmp_path)) == 16000000 * 1024


def test_memory_that_is_used_up_is_none_left_and_memory_that_nobody_tells_of_is_not_known(tmp_path):
    assert system.memory_available(str(tmp_path)) is None
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemAvailable:  16000000 kB\n")
    (tmp_path / "sys/fs/cgroup/memory.max").write_text("1000\n")
    (tmp_path / "sys/fs/cgroup/memory.current").write_text("2000\n")
    assert system.memory_available(str(tmp_path)) == 0


def test_the_memory_that_is_free_is_the_kernels_figure():
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    assert 0 < system.memory_available() <= total
