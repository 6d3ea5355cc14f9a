// A test for CI: KERNEL=vmlinuz node --test boot.test.mjs. Where no VM can be made it is skipped and says why; with HAX_REQUIRE_KVM=1 that is a
// failure instead, for runners that have a hypervisor. Nothing is kept between runs: each boots from the image.
import assert from 'node:assert/strict';
import { afterEach, test } from 'node:test';
import { launch } from 'node-hax';
import { autoClose, needsHypervisor } from 'node-hax/testing';

const close = autoClose(afterEach);
const testVm = needsHypervisor(test, test.skip);
const kernel = process.env.KERNEL ?? 'vmlinuz';
const initrd = process.env.INITRD ? { initrd: process.env.INITRD } : {};

testVm('the system comes up and powers off', { timeout: 120_000 }, async () => {
  const machine = close(await launch({ kernel, ...initrd, append: 'console=ttyS0 panic=-1', memory: '256M', reboot: false }));
  await machine.console.waitFor(/login: |# $|ready/, { timeout: 90_000 });
  machine.console.write('poweroff\n');
  assert.equal((await machine.ended).reason, 'powered-off');
});
