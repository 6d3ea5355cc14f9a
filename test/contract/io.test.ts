import type { IoHandler } from 'node-hax';
import { Recorder, at } from '../support/guests';
import { codeOf } from '../support/codes';
import { describeEachBackend, itNeeds, type Backend, type Made } from '../support/hosts';

/** Runs the guest until it halts. */
async function untilHalted({ vcpu }: Made): Promise<void> {
  expect(await vcpu.run()).toEqual({ reason: 'halted' });
}

/** A device that fails when it is asked more often: a string without end would fill the memory. */
function atMost(times: number, device: IoHandler): IoHandler {
  const count = (): void => {
    if (times-- === 0) throw new Error('too many accesses');
  };
  return {
    read: (...access) => (count(), device.read(...access)),
    write: (...access) => (count(), device.write(...access)),
  };
}

describeEachBackend(
  'port I/O',
  (backend) => {
    it('carries values of all widths both ways', async () => {
      const made = backend.guest(
        'real',
        `mov dx, 0x3f8; mov eax, 0x11223344; out dx, al; out dx, ax; out dx, eax; out 0x80, al
         mov ebx, 0xaaaaaaaa; mov eax, ebx; in al, dx; mov [0x7000], eax
         mov eax, ebx; in ax, dx; mov [0x7004], eax; in eax, dx; mov [0x7008], eax; mov dx, 0xffff; in al, dx; mov [0x700c], al; hlt`,
      );
      const device = new Recorder([0x101, 0x10202, 0x80000003].values());
      const post = new Recorder();
      made.vm.ports.add({ at: 0x3f8, length: 8 }, device);
      made.vm.ports.add({ at: 0x80, length: 1 }, post);
      await untilHalted(made);
      expect(device.written).toEqual([
        { offset: 0, value: 0x44, width: 1 },
        { offset: 0, value: 0x3344, width: 2 },
        { offset: 0, value: 0x11223344, width: 4 },
      ]);
      expect(post.values).toEqual([0x44]);
      expect(device.reads.map(({ width }) => width)).toEqual([1, 2, 4]);
      const results = [0, 4, 8].map((offset) => made.vm.memory.readU32(at.data + offset).toString(16));
      expect(results).toEqual(['aaaaaa01', 'aaaa0202', '80000003']);
      expect(made.vm.memory.readU8(at.data + 12)).toBe(0xff);
    });

    it('gives all-ones where nobody is, drops what is written there, and tells once', async () => {
      const made = backend.guest(
        'real',
        `mov cx, 3; 1: xor eax, eax; mov dx, 0x200; in al, dx; mov [0x7000], eax; xor eax, eax; in ax, dx; mov [0x7004], eax; in eax, dx
         mov [0x7008], eax; out dx, al; mov dx, 0x300; out dx, ax; loop 1b; hlt`,
      );
      const seen: string[] = [];
      made.vm.ports.onUnclaimed(({ address, width, direction, value }) =>
        seen.push(`${direction} ${address.toString(16)} ${width} ${String(value?.toString(16))}`),
      );
      await untilHalted(made);
      expect([0, 4, 8].map((offset) => made.vm.memory.readU32(at.data + offset))).toEqual([0xff, 0xffff, 0xffffffff]);
      expect(seen).toEqual(['in 200 1 undefined', 'out 200 1 ff', 'out 300 2 ffff']);
    });

    it.each([
      ['bytes', 'b', 1],
      ['words', 'w', 2],
      ['doublewords', 'd', 4],
    ] as const)('writes strings of %s, up and down', async (_, suffix, size) => {
      const count = 40;
      const made = backend.guest(
        'real',
        `cld; mov dx, 0x10; mov si, 0x7000; mov cx, ${count}; rep outs${suffix}; mov [0x6000], si; mov [0x6002], cx
         std; mov dx, 0x30; mov si, 0x7000 + ${(count - 1) * size}; mov cx, ${count}; rep outs${suffix}; mov [0x6004], si; cld; hlt`,
      );
      const values = Array.from({ length: count }, (_each, i) => (0x01020304 * (i + 1)) % 2 ** (8 * size));
      const bytes = Buffer.alloc(count * size);
      values.forEach((value, i) => bytes.writeUIntLE(value, i * size, size));
      made.vm.memory.write(at.data, bytes);
      const [up, down] = [new Recorder(), new Recorder()];
      made.vm.ports.add({ at: 0x10, length: 4 }, up);
      made.vm.ports.add({ at: 0x30, length: 4 }, down);
      await untilHalted(made);
      expect(up.values).toEqual(values);
      expect(down.values).toEqual([...values].reverse());
      expect(up.written.every(({ offset, width }) => offset === 0 && width === size)).toBe(true);
      expect([made.vm.memory.readU16(0x6000), made.vm.memory.readU16(0x6002)]).toEqual([at.data + count * size, 0]);
      expect(made.vm.memory.readU16(0x6004)).toBe(at.data - size);
    });

    it.each([
      ['bytes', 'b', 1],
      ['words', 'w', 2],
      ['doublewords', 'd', 4],
    ] as const)('reads strings of %s, up and down', async (_, suffix, size) => {
      const count = 24;
      const made = backend.guest(
        'real',
        `cld; mov dx, 0x10; mov di, 0x7000; mov cx, ${count}; rep ins${suffix}; mov [0x6000], di; mov [0x6002], cx
         std; mov di, 0x7800 + ${(count - 1) * size}; mov cx, ${count}; rep ins${suffix}; mov [0x6004], di; cld; hlt`,
      );
      const values = Array.from({ length: 2 * count }, (_each, i) => (0x01020304 * (i + 1)) % 2 ** (8 * size));
      const device = new Recorder(values.values());
      made.vm.ports.add({ at: 0x10, length: 4 }, device);
      await untilHalted(made);
      const read = (from: number): number[] => {
        const bytes = Buffer.from(made.vm.memory.read(from, count * size));
        return Array.from({ length: count }, (_each, i) => bytes.readUIntLE(i * size, size));
      };
      expect(read(at.data)).toEqual(values.slice(0, count));
      expect(read(0x7800)).toEqual(values.slice(count).reverse());
      expect(device.reads).toEqual(values.map(() => ({ offset: 0, width: size })));
      expect([made.vm.memory.readU16(0x6000), made.vm.memory.readU16(0x6002)]).toEqual([at.data + count * size, 0]);
      expect(made.vm.memory.readU16(0x6004)).toBe(0x7800 - size);
    });

    it.each(['cld', 'std'])('moves strings of 16-bit code by CX, SI and DI alone: %s', async (direction) => {
      const down = direction === 'std';
      const made = backend.guest(
        'real',
        `${direction}; mov dx, 0x10; mov cx, 100; mov si, ${down ? 0x4063 : 0x4000}; rep outsb
         mov cx, 37; mov di, ${down ? 0x5048 : 0x5000}; rep insw; hlt`,
      );
      made.vcpu.setState({ rcx: 0x12340000, rsi: 0x56780000, rdi: 0x9abc0000 });
      const bytes = Array.from({ length: 100 }, (_, i) => i + 1);
      made.vm.memory.write(0x4000, Uint8Array.from(bytes));
      const words = Array.from({ length: 37 }, (_, i) => 0x101 * (i + 1));
      const device = new Recorder(words.values());
      made.vm.ports.add({ at: 0x10, length: 2 }, atMost(137, device));
      await untilHalted(made);
      expect(device.values).toEqual(down ? bytes.reverse() : bytes);
      expect(device.reads).toHaveLength(37);
      const read = Array.from({ length: 39 }, (_, i) => made.vm.memory.readU16(0x4ffe + 2 * i));
      expect(read).toEqual([0, ...(down ? words.reverse() : words), 0]);
      const { rcx, rsi, rdi } = made.vcpu.getState();
      expect([rcx, rsi, rdi]).toEqual([0x12340000n, down ? 0x56783fffn : 0x56784064n, down ? 0x9abc4ffen : 0x9abc504an]);
    });

    it('goes on at the beginning of the segment where a string of 16-bit code reaches its end', async () => {
      const made = backend.guest(
        'real',
        `cld; mov dx, 0x10; mov si, 0xffa0; mov cx, 200; rep outsb; mov di, 0xffe0; mov cx, 16; rep insw; hlt`,
        { ram: 0x20000 },
      );
      const bytes = Array.from({ length: 96 }, (_, i) => i + 1);
      made.vm.memory.write(0xffa0, Uint8Array.from(bytes));
      made.vm.memory.write(0, new Uint8Array(104).fill(0xaa));
      made.vm.memory.write(0x10000, new Uint8Array(104).fill(0x55));
      const device = new Recorder(Array.from({ length: 16 }, () => 0x7777).values());
      made.vm.ports.add({ at: 0x10, length: 2 }, atMost(216, device));
      await untilHalted(made);
      expect(device.values).toEqual([...bytes, ...Array.from({ length: 104 }, () => 0xaa)]);
      const { rcx, rsi, rdi } = made.vcpu.getState();
      expect([rcx, rsi, rdi]).toEqual([0n, 104n, 0n]);
    });

    it('reads strings longer than a page of replies', async () => {
      const count = 1500;
      const made = backend.guest('real', `cld; mov dx, 0x10; mov di, 0x8000; mov cx, ${count}; rep insd; hlt`);
      made.vm.ports.add({ at: 0x10, length: 4 }, new Recorder(Array.from({ length: count }, (_, i) => i * 3).values()));
      await untilHalted(made);
      const bytes = Buffer.from(made.vm.memory.read(0x8000, count * 4));
      expect(Array.from({ length: count }, (_, i) => bytes.readUInt32LE(i * 4))).toEqual(Array.from({ length: count }, (_, i) => i * 3));
      expect(made.vm.memory.readU32(0x8000 + count * 4)).toBe(0);
    });
  },
  { needs: 'guests' },
);

describeEachBackend(
  'memory-mapped I/O',
  (backend) => {
    const device = 0xd000_0000;

    it('carries values of all widths both ways', async () => {
      const made = backend.guest(
        'long64',
        `mov rdi, ${device}; mov rax, 0x1122334455667788; mov [rdi], al; mov [rdi + 2], ax; mov [rdi + 4], eax; mov [rdi + 8], rax
         mov rbx, -1; mov bl, [rdi + 16]; mov [0x7000], rbx; mov rbx, -1; mov bx, [rdi + 18]; mov [0x7008], rbx
         mov ebx, [rdi + 20]; mov [0x7010], rbx; mov rbx, [rdi + 24]; mov [0x7018], rbx; hlt`,
      );
      const recorder = new Recorder([0x01, 0x0202, 0x83030303, 0x04040404, 0x85050505].values());
      made.vm.mmio.add({ at: device, length: 0x1000 }, recorder);
      await untilHalted(made);
      expect(recorder.written).toEqual([
        { offset: 0, value: 0x88, width: 1 },
        { offset: 2, value: 0x7788, width: 2 },
        { offset: 4, value: 0x55667788, width: 4 },
        // Eight bytes arrive as two times four, low first.
        { offset: 8, value: 0x55667788, width: 4 },
        { offset: 12, value: 0x11223344, width: 4 },
      ]);
      expect(recorder.reads.map(({ offset, width }) => [offset, width])).toEqual([
        [16, 1],
        [18, 2],
        [20, 4],
        [24, 4],
        [28, 4],
      ]);
      const results = [0, 8, 16, 24].map((offset) => made.vm.memory.readU64(at.data + offset).toString(16));
      expect(results).toEqual(['ffffffffffffff01', 'ffffffffffff0202', '83030303', '8505050504040404']);
    });

    it('gives eight bytes at once to devices that take them', async () => {
      const made = backend.guest('long64', `mov rdi, ${device}; mov rax, [rdi]; not rax; mov [rdi + 8], rax; hlt`);
      const written: [number, bigint][] = [];
      const handler = {
        read: () => 0,
        write: () => undefined,
        read64: () => 0x0102030405060708n,
        write64: (offset: number, value: bigint) => void written.push([offset, value]),
      };
      made.vm.mmio.add({ at: device, length: 16 }, handler);
      await untilHalted(made);
      expect(written).toEqual([[8, 0xfefdfcfbfaf9f8f7n]]);
    });

    it('carries accesses that cross a page', async () => {
      const made = backend.guest(
        'long64',
        `mov rdi, ${device + 0x1000}; mov rax, 0x8877665544332211
         mov [rdi - 1], ax; mov [rdi - 3], eax; mov [rdi - 4], rax; mov [rdi - 3], rax; mov [rdi - 7], rax
         mov bx, [rdi - 1]; mov [0x7000], bx; mov ebx, [rdi - 1]; mov [0x7008], ebx; mov rbx, [rdi - 5]; mov [0x7010], rbx; hlt`,
      );
      const bytes = new Uint8Array(0x2000);
      const log: string[] = [];
      let written = new Map<number, number>();
      made.vm.mmio.add(
        { at: device, length: 0x2000 },
        {
          maxWidth: 1,
          read: (offset) => bytes[offset],
          write: (offset, value) => {
            // The next access starts below where the last one ended.
            if (written.has(offset)) written = new Map();
            written.set(offset, value);
            log.push(`${(offset - 0x1000).toString()}=${value.toString(16)}`);
          },
        },
      );
      for (let i = 0; i < 16; i++) bytes[0xff8 + i] = 0xf0 + i;
      await untilHalted(made);
      const stored = (from: number, values: string[]): string[] => values.map((value, i) => `${from + i}=${value}`);
      const low = ['11', '22', '33', '44', '55', '66', '77', '88'];
      expect(log).toEqual([
        ...stored(-1, low.slice(0, 2)),
        ...stored(-3, low.slice(0, 4)),
        ...stored(-4, low),
        ...stored(-3, low),
        ...stored(-7, low),
      ]);
      expect(made.vm.memory.readU16(at.data)).toBe(0xf8f7);
      expect(made.vm.memory.readU32(at.data + 8)).toBe(0xfaf9f8f7);
      expect(made.vm.memory.readU64(at.data + 16)).toBe(0xfaf9f8f7f6f5f4f3n);
    });

    it('divides an access between memory and a device behind it', async () => {
      const made = backend.guest('long64', 'mov eax, 0x44332211; mov [0xfffe], eax; mov ebx, [0xfffe]; mov [0x7000], ebx; hlt');
      const recorder = new Recorder([0x6655].values());
      made.vm.mmio.add({ at: 0x10000, length: 0x1000 }, recorder);
      await untilHalted(made);
      expect(recorder.written).toEqual([{ offset: 0, value: 0x4433, width: 2 }]);
      expect(made.vm.memory.readU16(0xfffe)).toBe(0x2211);
      expect(made.vm.memory.readU32(at.data)).toBe(0x66552211);
    });

    it('gives all-ones where nobody is and drops what is written there', async () => {
      const made = backend.guest('long64', 'mov rdi, 0xe0000000; mov [rdi], rdi; mov rax, [rdi]; mov [0x7000], rax; hlt');
      const seen: string[] = [];
      made.vm.mmio.onUnclaimed(({ address, width, direction }) => seen.push(`${direction} ${address.toString(16)} ${width}`));
      await untilHalted(made);
      expect(made.vm.memory.readU64(at.data)).toBe(2n ** 64n - 1n);
      expect(seen).toEqual(['out e0000000 4', 'out e0000004 4', 'in e0000000 4', 'in e0000004 4']);
      expect(made.vcpu.exits.snapshot().pages).toEqual({ '0xe0000000': 2 });
    });

    it('carries strings', async () => {
      const made = backend.guest(
        'flat32',
        `cld; mov esi, 0x7000; mov edi, ${device}; mov ecx, 8; rep movsd
         mov esi, ${device}; mov edi, 0x7100; mov ecx, 8; rep movsd; mov eax, 0x99; mov edi, ${device}; mov ecx, 4; rep stosb; hlt`,
      );
      const words = Array.from({ length: 8 }, (_, i) => 0x01010101 * (i + 1));
      words.forEach((word, i) => made.vm.memory.writeU32(at.data + 4 * i, word));
      const recorder = new Recorder(words.values());
      made.vm.mmio.add({ at: device, length: 0x1000 }, recorder);
      await untilHalted(made);
      expect(recorder.written.slice(0, 8)).toEqual(words.map((value, i) => ({ offset: 4 * i, value, width: 4 })));
      expect(recorder.written.slice(8)).toEqual([0, 1, 2, 3].map((offset) => ({ offset, value: 0x99, width: 1 })));
      expect(words.map((_, i) => made.vm.memory.readU32(0x7100 + 4 * i))).toEqual(words);
    });
  },
  { needs: 'guests' },
);

describeEachBackend(
  'exits one by one',
  (backend, host) => {
    it('shows the accesses of a guest', () => {
      const { vcpu } = backend.guest(
        'long64',
        'mov eax, 0x55; mov dx, 0x3f8; out dx, al; in ax, dx; mov rdi, 0xd0000ff8; mov [rdi], rax; mov rbx, [rdi]; hlt',
      );
      const exit = vcpu.enter();
      expect(exit.kind === 'io' && [exit.port, exit.size, exit.count, exit.direction, ...exit.data]).toEqual([0x3f8, 1, 1, 'out', 0x55]);
      expect(JSON.parse(JSON.stringify(exit))).toEqual({ kind: 'io', port: 0x3f8, size: 1, count: 1, direction: 'out', data: [0x55] });
      // One object, again and again.
      expect(vcpu.enter()).toBe(exit);
      expect(vcpu.exit).toBe(exit);
      expect(exit.kind === 'io' && [exit.port, exit.size, exit.direction]).toEqual([0x3f8, 2, 'in']);
      if (exit.kind === 'io') exit.data.set([0x34, 0x12]);
      vcpu.enter();
      if ((exit.kind as string) !== 'mmio') throw new Error(exit.kind);
      expect(JSON.parse(JSON.stringify(exit))).toEqual({
        kind: 'mmio',
        address: 0xd0000ff8,
        size: 8,
        direction: 'out',
        data: [0x34, 0x12, 0, 0, 0, 0, 0, 0],
      });
      vcpu.enter();
      expect(JSON.parse(JSON.stringify(exit))).toMatchObject({ kind: 'mmio', address: 0xd0000ff8, size: 8, direction: 'in' });
      (exit as unknown as { data: Uint8Array }).data.set([8, 7, 6, 5, 4, 3, 2, 1]);
      expect(vcpu.enter().kind).toBe('hlt');
      expect(vcpu.getState().rbx).toBe(0x0102030405060708n);
      // More when the host is so busy that enter() looked up, or when a kick's signal came after the exit that made it needless.
      expect(vcpu.counters.entries).toBeGreaterThanOrEqual(5);
    });

    it('takes a reply by complete(), without running on', () => {
      const { vcpu } = backend.guest('real', 'mov dx, 0x10; in al, dx; inc ax; mov [0x7000], ax; 1: jmp 1b');
      const exit = vcpu.enter();
      if (exit.kind !== 'io') throw new Error(exit.kind);
      exit.data[0] = 0x41;
      vcpu.complete();
      const { rax, rip } = vcpu.getState();
      expect([rax, rip]).toEqual([0x41n, BigInt(at.code + 4)]);
      vcpu.complete();
      expect(vcpu.getState()).toMatchObject({ rax: 0x41n, rip: BigInt(at.code + 4) });
      vcpu.kick();
      vcpu.complete();
      // Neither lost nor taken by complete().
      expect(vcpu.enter()).toMatchObject({ kind: 'interrupted', reason: 'kick' });
    });

    it('keeps an exit that comes up in complete() for the next entry', () => {
      // Eight bytes in two pages are two exits.
      const { vcpu } = backend.guest('long64', 'mov rdi, 0xd0000ffc; mov rbx, [rdi]; mov rcx, rbx; hlt');
      const exit = vcpu.enter();
      if (exit.kind !== 'mmio') throw new Error(exit.kind);
      const whole = backend.name === 'haxm'; // its driver does not look at pages
      expect([exit.address, exit.size]).toEqual([0xd0000ffc, whole ? 8 : 4]);
      exit.data.set([1, 2, 3, 4, 5, 6, 7, 8].slice(0, exit.size));
      vcpu.complete();
      vcpu.complete();
      if (!whole) {
        expect(vcpu.enter()).toMatchObject({ kind: 'mmio', address: 0xd0001000, size: 4, direction: 'in' });
        exit.data.set([5, 6, 7, 8]);
        vcpu.complete();
      }
      expect(vcpu.getState().rbx).toBe(0x0807060504030201n);
      expect(vcpu.enter().kind).toBe('hlt');
      expect(vcpu.getState().rcx).toBe(0x0807060504030201n);
    });

    it('halts again and again', () => {
      const { vcpu } = backend.guest('real', '1: inc ax; hlt; jmp 1b');
      for (let i = 1n; i <= 3n; i++) {
        expect(vcpu.enter()).toMatchObject({ kind: 'hlt' });
        expect(vcpu.getState().rax).toBe(i);
      }
    });

    it.each(['flat32', 'long64'] as const)('ends in a shutdown after a triple fault, %s', async (mode) => {
      const source = 'lidt [1f]; ud2; 1: .word 0; .quad 0';
      expect(backend.guest(mode, source).vcpu.enter().kind).toBe('shutdown');
      const end = await backend.guest(mode, source).vcpu.run();
      expect(end.reason).toBe('triple-fault');
      expect('registers' in end && typeof end.registers?.rip).toBe('bigint');
    });

    itNeeds(host, 'realModeTripleFault', 'ends in a shutdown after a triple fault, real mode', () => {
      expect(backend.guest('real', 'lidt [1f]; ud2; 1: .word 0; .long 0').vcpu.enter().kind).toBe('shutdown');
    });

    it('ends where an instruction cannot be emulated, with its bytes', async () => {
      // Floating point from a device: no emulator of a kernel does that.
      const { vcpu } = backend.guest('flat32', 'fld dword ptr [0xd0000000]; hlt');
      const end = await vcpu.run();
      // HAXM's driver gives up the vCPU and tells no more.
      if (backend.name === 'haxm') {
        expect(end).toMatchObject({ reason: 'triple-fault', registers: { rip: BigInt(at.code) } });
        return;
      }
      if (end.reason !== 'internal-error') throw new Error(end.reason);
      expect(end.suberror).toBe(1);
      expect([...end.instruction.subarray(0, 6)]).toEqual([0xd9, 0x05, 0, 0, 0, 0xd0]);
      expect(end.registers?.rip).toBe(BigInt(at.code));
    });

    it('ends where instructions are fetched from nowhere', async () => {
      const { vcpu } = backend.guest('flat32', 'mov eax, 0xd0000000; jmp eax');
      const end = await vcpu.run();
      expect(['internal-error', 'triple-fault']).toContain(end.reason);
    });
  },
  { needs: 'guests' },
);

/** A guest that copies the first word of a page into another place, changes it and looks at it again. */
function writeToPage(backend: Backend, page: number): Made {
  return backend.guest(
    'flat32',
    `mov eax, [${page}]; mov [0x7000], eax; mov dword ptr [${page}], 0x12345678; mov eax, [${page}]; mov [0x7004], eax; hlt`,
  );
}

describeEachBackend(
  'memory as the guest sees it',
  (backend, host) => {
    it('is the memory that the host sees', async () => {
      const made = writeToPage(backend, 0x20000);
      const region = made.vm.mapMemory({ gpa: 0x20000, size: 0x1000 });
      region.bytes.set([1, 2, 3, 4]);
      await untilHalted(made);
      expect([made.vm.memory.readU32(at.data), made.vm.memory.readU32(at.data + 4)]).toEqual([0x04030201, 0x12345678]);
      expect([...region.bytes.subarray(0, 4)]).toEqual([0x78, 0x56, 0x34, 0x12]);
    });

    itNeeds(host, 'readOnlyMemory', 'makes writes to read-only memory exits and does not change it', async () => {
      const made = writeToPage(backend, 0x20000);
      const region = made.vm.mapMemory({ gpa: 0x20000, size: 0x1000, readOnly: true });
      expect(region.readOnly).toBe(true);
      made.vm.memory.writeU32(0x20000, 0xcafe);
      const recorder = new Recorder();
      made.vm.mmio.add({ at: 0x20000, length: 0x1000 }, recorder);
      await untilHalted(made);
      expect(recorder.written).toEqual([{ offset: 0, value: 0x12345678, width: 4 }]);
      expect(recorder.reads).toEqual([]);
      expect([made.vm.memory.readU32(at.data), made.vm.memory.readU32(at.data + 4)]).toEqual([0xcafe, 0xcafe]);
      // The host may.
      made.vm.memory.writeU32(0x20000, 1);
      expect(region.bytes[0]).toBe(1);
    });

    it('is gone after unmapMemory()', async () => {
      const made = writeToPage(backend, 0x20000);
      const region = made.vm.mapMemory({ gpa: 0x20000, size: 0x1000 });
      made.vm.memory.writeU32(0x20000, 0xcafe);
      made.vm.unmapMemory(region);
      const recorder = new Recorder([0x11, 0x22].values());
      made.vm.mmio.add({ at: 0x20000, length: 0x1000 }, recorder);
      await untilHalted(made);
      expect(recorder.values).toEqual([0x12345678]);
      expect([made.vm.memory.readU32(at.data), made.vm.memory.readU32(at.data + 4)]).toEqual([0x11, 0x22]);
    });

    it('can be mapped and taken away by a device while the guest runs', async () => {
      const made = backend.guest(
        'flat32',
        'out 0x10, al; mov eax, [0x20000]; mov [0x7000], eax; out 0x11, al; mov eax, [0x20000]; mov [0x7004], eax; hlt',
      );
      made.vm.ports.add(
        { at: 0x10, length: 2 },
        {
          read: () => 0,
          write: (offset) => {
            if (offset === 0) made.vm.mapMemory({ gpa: 0x20000, size: 0x1000 }).bytes.fill(0x77);
            else made.vm.unmapMemory(made.vm.memory.regionAt(0x20000)!);
          },
        },
      );
      await untilHalted(made);
      expect([made.vm.memory.readU32(at.data), made.vm.memory.readU32(at.data + 4)]).toEqual([0x77777777, 0xffffffff]);
      expect(codeOf(() => made.vm.memory.readU8(0x20000))).toBe('ERR_HAX_MEMORY');
    });
  },
  { needs: 'guests' },
);
