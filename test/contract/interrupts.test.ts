import { setTimeout as delay } from 'node:timers/promises';
import { realMode } from 'node-hax';
import { assemble } from '../support/assemble';
import { codeOf } from '../support/codes';
import { at, guestImage, loadGuest, ramSize, sink } from '../support/guests';
import { describeEachBackend, itNeeds } from '../support/hosts';
import { shareBeside } from '../support/shares';

/** PIC: vectors from 0x20, edge-triggered, everything masked but `line`; the vector's entry in the real-mode table leads to `isr`. */
function listenTo(line: number): string {
  const vector = 0x20 + line;
  return `cli; mov word ptr [${vector * 4}], offset isr; mov word ptr [${vector * 4 + 2}], 0
    mov al, 0x11; out 0x20, al; mov al, 0x20; out 0x21, al; mov al, 4; out 0x21, al; mov al, 1; out 0x21, al
    mov al, 0x11; out 0xa0, al; mov al, 0x28; out 0xa1, al; mov al, 2; out 0xa1, al; mov al, 1; out 0xa1, al
    mov al, ${0xff & ~(1 << line)}; out 0x21, al; mov al, 0xff; out 0xa1, al; sti`;
}

/** Halts until the service routine has counted to `count`, and then for ever. What comes after the look is kept by STI until HLT sleeps. */
const sleepUntil = (count: number): string => `1: cli; cmp byte ptr [0x7000], ${count}; jae 3f; sti; hlt; jmp 1b; 3: hlt`;

const endOfInterrupt = 'mov al, 0x20; out 0x20, al';

describeEachBackend(
  "the kernel's interrupt controller",
  (backend, host) => {
    it('has a guest that sleeps leave the thread to another that does not', async () => {
      const share = (): Promise<number> => shareBeside(backend.guest('real', 'sti; 1: hlt; jmp 1b', { irqchip: 'kernel' }).vcpu, backend);
      let seen = await share();
      // A thread that has slept may have to wait for a busy machine, again and again, and that counts as sleep.
      for (let i = 0; i < 20 && seen <= 2; i++) seen = await share();
      expect(seen).toBeGreaterThan(2);
    });

    it('runs the service routine of a line, once for each edge', async () => {
      // Tells port 0x10 when it listens and port 0x11 in the routine; ends after the third.
      const { vm, vcpu } = backend.guest(
        'real',
        `mov byte ptr [0x7000], 0; ${listenTo(4)}; out 0x10, al; ${sleepUntil(3)}
         isr: push ax; inc byte ptr [0x7000]; mov al, [0x7000]; out 0x11, al; ${endOfInterrupt}; pop ax; iret`,
        { irqchip: 'kernel' },
      );
      const line = vm.irqLine(4);
      expect(vm.irqLine(4)).toBe(line);
      const log: string[] = [];
      const raise = (): void => {
        log.push('raise');
        line.set(true);
        line.set(true);
      };
      const ready = sink(() => raise());
      const service = sink((count) => {
        log.push(`service ${count}`);
        line.set(false);
        line.set(false);
        // In the routine itself, and while the processor sleeps.
        if (count === 1) raise();
        if (count === 2) setTimeout(raise, 20);
      });
      vm.ports.add({ at: 0x10, length: 1 }, ready);
      vm.ports.add({ at: 0x11, length: 1 }, service);
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(log).toEqual(['raise', 'service 1', 'raise', 'service 2', 'raise', 'service 3']);
      // The PIC's own ports never came to us.
      expect(Object.keys(vcpu.exits.snapshot().ports)).toEqual(['0x10', '0x11']);
    });

    it('leaves a guest asleep that waits for an interrupt', async () => {
      const { vm, vcpu } = backend.guest(
        'real',
        `${listenTo(3)}; out 0x10, al; 1: hlt; jmp 1b; isr: ${endOfInterrupt}; out 0x11, al; cli; hlt`,
        {
          irqchip: 'kernel',
        },
      );
      let served = false;
      vm.ports.add(
        { at: 0x11, length: 1 },
        sink(() => void (served = true)),
      );
      const run = vcpu.run();
      await delay(400);
      expect([vcpu.running, served]).toEqual([true, false]);
      vm.irqLine(3).set(true);
      expect(await run).toEqual({ reason: 'halted' });
      expect(served).toBe(true);
    });

    it('refuses lines that there cannot be, and forgets all when the VM is closed', () => {
      const vm = backend.vm({ irqchip: 'kernel' });
      for (const line of [-1, 24, 4095, 4096, 0.5, NaN, '4', null] as never[])
        expect(codeOf(() => vm.irqLine(line))).toBe('ERR_HAX_INVALID_ARGUMENT');
      const line = vm.irqLine(23);
      line.set(true);
      line.set(false);
      vm.close();
      line.set(true);
      expect(codeOf(() => vm.irqLine(23))).toBe('ERR_HAX_CLOSED');
    });

    itNeeds(host, 'pit', 'has a timer, and a speaker port with it', async () => {
      // Counter 0 at 1 kHz, mode 2; the fifth tick masks it (on a machine that stalls, all five come in the instruction after the start). Counter 2's gate is read back from port 0x61.
      const { vm, vcpu } = backend.guest(
        'real',
        `mov byte ptr [0x7000], 0; ${listenTo(0)}
         in al, 0x61; and al, 0xfd; or al, 1; out 0x61, al; in al, 0x61; and al, 3; out 0x12, al
         mov al, 0x34; out 0x43, al; mov al, 0xa9; out 0x40, al; mov al, 0x04; out 0x40, al; ${sleepUntil(5)}
         isr: inc byte ptr [0x7000]; cmp byte ptr [0x7000], 5; jb 2f; mov al, 0xff; out 0x21, al; 2: ${endOfInterrupt}; iret`,
        { irqchip: 'kernel' },
      );
      const gate: number[] = [];
      vm.ports.add(
        { at: 0x12, length: 1 },
        sink((value) => void gate.push(value)),
      );
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(vm.memory.readU8(at.data)).toBe(5);
      expect(gate).toEqual([1]);
      expect(vcpu.exits.snapshot().ports).toEqual({ '0x12': 1 });
    });

    it('does without the timer when asked to', async () => {
      const { vm, vcpu } = backend.guest('real', 'in al, 0x40; mov [0x7000], al; hlt', { irqchip: 'kernel', pit: false });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(vm.memory.readU8(at.data)).toBe(0xff);
      expect(vcpu.exits.snapshot().ports).toEqual({ '0x40': 1 });
    });

    it('starts another processor by INIT and SIPI', async () => {
      const vm = backend.vm({ irqchip: 'kernel' });
      vm.mapMemory({ gpa: 0, size: ramSize });
      const [first, second] = [vm.createVcpu({ cpus: 2 }), vm.createVcpu({ cpus: 2 })];
      // The local APIC: spurious-interrupt register (enable), then the interrupt command to all but oneself (Intel SDM vol. 3, 10.6.1).
      const boot = guestImage(
        'flat32',
        `mov dword ptr [0xfee000f0], 0x1ff; mov dword ptr [0xfee00300], 0xc4500; mov dword ptr [0xfee00300], 0xc4608
         1: pause; cmp byte ptr [0x7000], 0x5a; jne 1b; out 0x10, al; cli; hlt`,
      );
      loadGuest(vm, first, boot);
      // It comes up at 0x800:0 in real mode, with DS 0.
      vm.memory.write(0x8000, assemble('mov al, 0x5a; mov [0x7000], al; cli; hlt'));
      let started = false;
      vm.ports.add(
        { at: 0x10, length: 1 },
        sink(() => void (started = true)),
      );
      const ends = await Promise.all([first.run(), second.run()]);
      expect(ends).toEqual([{ reason: 'halted' }, { reason: 'halted' }]);
      expect([started, vm.memory.readU8(at.data)]).toEqual([true, 0x5a]);
      const { cs, rip } = second.getState();
      expect([cs.selector, cs.base, rip > 0n]).toEqual([0x800, 0x8000n, true]);
    });
  },
  { needs: 'kernelIrqchip' },
);

describeEachBackend(
  'the interrupt controllers in user space',
  (backend) => {
    it.each([
      ['that has ended', [0xfa, 0xf4]], // cli; hlt
      ['that spins with interrupts on', [0xfb, 0xeb, 0xfe]], // sti; 1: jmp 1b
    ])('interrupt the boot processor, beside another %s', async (_, code) => {
      const { vm, vcpu } = backend.guest(
        'real',
        `mov byte ptr [0x7000], 0; ${listenTo(4)}; out 0x10, al; ${sleepUntil(3)}
         isr: push ax; inc byte ptr [0x7000]; mov al, [0x7000]; out 0x11, al; ${endOfInterrupt}; pop ax; iret`,
      );
      const other = vm.createVcpu();
      vm.memory.write(0x6000, Uint8Array.from(code));
      other.setState(realMode({ ip: 0x6000 }));
      const line = vm.irqLine(4);
      const services: number[] = [];
      const raise = (): void => void setTimeout(() => line.set(true), 20);
      vm.ports.add({ at: 0x10, length: 1 }, sink(raise));
      vm.ports.add(
        { at: 0x11, length: 1 },
        sink((count) => {
          services.push(count);
          line.set(false);
          if (count < 3) raise();
        }),
      );
      const runs = [vcpu, other].map((each) => each.run({ threaded: true }));
      expect(await runs[0]).toEqual({ reason: 'halted' });
      other.stop();
      await runs[1];
      expect(services).toEqual([1, 2, 3]);
    });

    it.each([false, true])('wait while setState() has switched interrupts off; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest(
        'real',
        `${listenTo(4)}; nop; out 0x13, al; 1: jmp 1b; isr: out 0x11, al; ${endOfInterrupt}; iret`,
      );
      vm.memory.write(0x6000, assemble('nop; out 0x12, al; sti; nop; hlt'));
      const seen: string[] = [];
      const device = sink(() => void seen.push('service'));
      vm.ports.add({ at: 0x11, length: 1 }, device);
      vm.ports.add(
        { at: 0x12, length: 1 },
        sink(() => void seen.push('program')),
      );
      // Behind the shadow of STI, so that this exit finds the guest ready, too.
      const spinning = new Promise<void>((resolve) =>
        vm.ports.add(
          { at: 0x13, length: 1 },
          sink(() => resolve()),
        ),
      );
      let run = vcpu.run({ threaded });
      await spinning;
      await delay(20);
      vcpu.stop();
      await run;
      expect(vcpu.interruptReady).toBe(true);
      vm.irqLine(4).set(true);
      vcpu.setState(realMode({ ip: 0x6000, sp: at.stack }));
      expect([vcpu.interruptReady, vcpu.requestInterruptWindow]).toEqual([false, false]);
      vcpu.requestInterruptWindow = true;
      expect(vcpu.requestInterruptWindow).toBe(true);
      run = vcpu.run({ threaded });
      while (seen.length < 2) await delay(1);
      vcpu.stop();
      await run;
      expect(seen).toEqual(['program', 'service']);
    });

    it.each([false, true])('end no halt when they are masked before a pause of it is over; threaded %s', async (threaded) => {
      const { vm, vcpu } = backend.guest('real', `${listenTo(4)}; nop; out 0x10, al; hlt; out 0x12, al; cli; hlt
        isr: out 0x11, al; ${endOfInterrupt}; iret`); // prettier-ignore
      const seen: string[] = [];
      const told = (what: string): Promise<void> =>
        new Promise((resolve) => {
          const port = { at: what === 'asleep' ? 0x10 : what === 'service' ? 0x11 : 0x12, length: 1 };
          vm.ports.add(
            port,
            sink(() => {
              seen.push(what);
              resolve();
            }),
          );
        });
      const asleep = told('asleep');
      void told('service');
      void told('behind it');
      const run = vcpu.run({ threaded });
      await asleep;
      await delay(20);
      vcpu.pause();
      vm.irqLine(4).set(true);
      vm.ports.write(0x21, 0xff, 1);
      vcpu.resume();
      await delay(20);
      seen.push('unmasked');
      vm.ports.write(0x21, 0xef, 1);
      expect(await run).toEqual({ reason: 'halted' });
      expect(seen).toEqual(['asleep', 'unmasked', 'service', 'behind it']);
    });

    it('reach a vCPU that a handler of one before it runs, when it has closed that', async () => {
      const { vm, vcpu } = backend.guest('real', `out 0x12, al; hlt; next: ${listenTo(4)}; out 0x10, al; ${sleepUntil(1)}
        isr: mov byte ptr [0x7000], 1; ${endOfInterrupt}; iret`); // prettier-ignore
      const next = vm.createVcpu();
      next.setState(realMode({ ip: at.code + 3, sp: at.stack }));
      vm.ports.add(
        { at: 0x10, length: 1 },
        sink(() => void setTimeout(() => vm.irqLine(4).set(true), 20)),
      );
      const ends: Promise<unknown>[] = [];
      const close = (): void => {
        vcpu.close();
        ends.push(next.run());
        setTimeout(() => next.stop(), 50_000).unref();
      };
      vm.ports.add({ at: 0x12, length: 1 }, sink(close));
      expect(await vcpu.run()).toEqual({ reason: 'killed' });
      expect(await ends[0]).toEqual({ reason: 'halted' });
    });
  },
  { needs: 'guests' },
);

describeEachBackend(
  'exceptions and interrupts of the guest itself',
  (backend, host) => {
    it('go through the table of real mode', async () => {
      const { vm, vcpu } = backend.guest(
        'real',
        `mov word ptr [0x30 * 4], offset isr; mov word ptr [0x30 * 4 + 2], 0; mov word ptr [6 * 4], offset invalid; mov word ptr [6 * 4 + 2], 0
         int 0x30; ud2; hlt; isr: mov byte ptr [0x7000], 1; iret; invalid: mov byte ptr [0x7001], 2; pop ax; add ax, 2; push ax; iret`,
      );
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(vm.memory.readU16(at.data)).toBe(0x201);
    });

    itNeeds(host, 'softwareInterrupts32', 'go through the table of protected mode', async () => {
      const { vm, vcpu } = backend.guest(
        'flat32',
        `lea eax, [isr]; mov [0x7800 + 0x30 * 8], ax; mov word ptr [0x7802 + 0x30 * 8], 0x10
         mov dword ptr [0x7804 + 0x30 * 8], 0x8e00; lidt [table]; int 0x30; mov byte ptr [0x7001], 2; hlt
         isr: mov byte ptr [0x7000], 1; iretd; table: .word 0x7ff; .long 0x7800`,
      );
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(vm.memory.readU16(at.data)).toBe(0x201);
    });

    itNeeds(host, 'paging32', 'are faults of pages too', async () => {
      // A directory for the first 4 MiB only; the fault handler ends the guest with CR2 in memory.
      const { vm, vcpu } = backend.guest(
        'flat32',
        `lea eax, [fault]; mov [0x7800 + 14 * 8], ax; mov word ptr [0x7802 + 14 * 8], 0x10; mov dword ptr [0x7804 + 14 * 8], 0x8e00; lidt [table]
         mov dword ptr [0x9000], 0x83; mov eax, 0x9000; mov cr3, eax; mov eax, cr4; or eax, 0x10; mov cr4, eax
         mov eax, cr0; or eax, 0x80000000; mov cr0, eax; mov eax, [0x12345678]; hlt
         fault: mov eax, cr2; mov [0x7000], eax; hlt; table: .word 0x7ff; .long 0x7800`,
      );
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      expect(vm.memory.readU32(at.data)).toBe(0x12345678);
      expect(vcpu.getState()).toMatchObject({ cr2: 0x12345678n, cr3: 0x9000n });
    });
  },
  { needs: 'guests' },
);

describeEachBackend(
  'a guest that nothing can wake',
  (backend, host) => {
    const source = 'cli; 1: hlt; jmp 1b';

    it('has ended, without an interrupt controller', async () => {
      expect(await backend.guest('real', source).vcpu.run()).toEqual({ reason: 'halted' });
    });

    itNeeds(host, 'kernelIrqchip', 'has ended, with the interrupt controller of the kernel', async () => {
      const { vcpu } = backend.guest('real', source, { irqchip: 'kernel' });
      expect(await vcpu.run()).toEqual({ reason: 'halted' });
      // Sleeping all the while: few slices, one exit at most.
      expect(vcpu.exits.snapshot().handled).toBeLessThanOrEqual(1);
    });
  },
  { needs: 'guests' },
);
