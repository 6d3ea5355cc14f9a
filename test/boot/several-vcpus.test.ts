/** Linux with several processors: it starts them by INIT and SIPI and lets them interrupt each other. */
import { boot, describeLinux } from './linux';

jest.setTimeout(115_000);

describeLinux('Linux with several vCPUs', () => {
  it.each([2, 4])('counts %i of them, runs on each, and powers off', async (cpus) => {
    // Field 39 of /proc/PID/stat is the processor (proc_pid_stat(5)).
    const script = `mount -t proc none /proc
      echo "processors: $(nproc)"
      for cpu in $(seq 0 ${cpus - 1}); do set -- $(taskset -c $cpu cat /proc/self/stat); shift 38; echo "on $1"; done
      poweroff -f`;
    const machine = await boot(script, { cpus });
    await machine.console.waitFor(`processors: ${cpus}`);
    for (let cpu = 0; cpu < cpus; cpu++) await machine.console.waitFor(`on ${cpu}`);
    expect(await machine.ended).toEqual({ reason: 'powered-off' });
    expect(machine.vcpus.map(({ counters }) => counters.entries > 0)).toEqual(new Array(cpus).fill(true));
  });
});
