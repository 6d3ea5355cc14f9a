import { PassThrough, Writable } from 'node:stream';
import { BatchedOutput, maxBacklog, maxBatch, type ByteSink } from '../../../lib/host/byte-sink';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const put = (output: BatchedOutput, text: string): void => {
  for (const byte of Buffer.from(text)) output.put(byte);
};

/** Holds back until told otherwise. */
class Held implements ByteSink {
  readonly chunks: Uint8Array[] = [];
  readonly drains: (() => void)[] = [];

  write(bytes: Uint8Array, onDrain: () => void): boolean {
    this.chunks.push(bytes);
    this.drains.push(onDrain);
    return false;
  }

  get length(): number {
    return this.chunks.reduce((sum, each) => sum + each.length, 0);
  }
}

describe('BatchedOutput', () => {
  it('gives the event loop something to do at a line feed, once a turn, and at no other byte', async () => {
    const setImmediate = jest.spyOn(globalThis, 'setImmediate');
    const output = new BatchedOutput(() => undefined);
    put(output, 'no line yet');
    expect(setImmediate).not.toHaveBeenCalled();
    put(output, '\r\nand\nmore\n');
    expect(setImmediate).toHaveBeenCalledTimes(1);
    setImmediate.mockRestore();
    await turn();
    const again = jest.spyOn(globalThis, 'setImmediate');
    put(output, '\n');
    expect(again).toHaveBeenCalledTimes(1);
    again.mockRestore();
  });

  it('hands bytes on together when the JavaScript in progress ends', async () => {
    const chunks: string[] = [];
    const output = new BatchedOutput((bytes) => chunks.push(Buffer.from(bytes).toString()));
    put(output, 'one');
    expect(chunks).toEqual([]);
    await turn();
    put(output, 'two');
    await turn();
    await turn();
    expect(chunks).toEqual(['one', 'two']);
  });

  it('hands on full batches at once, in arrays that stay as they are', async () => {
    const chunks: Uint8Array[] = [];
    const output = new BatchedOutput({ write: (bytes) => chunks.push(bytes) });
    for (let i = 0; i < 2 * maxBatch + 5; i++) output.put(i & 0xff);
    expect(chunks.map((each) => each.length)).toEqual([maxBatch, maxBatch]);
    output.flush();
    expect(chunks.map((each) => each.length)).toEqual([maxBatch, maxBatch, 5]);
    expect(chunks[0][7]).toBe(7);
    await turn();
    expect(chunks).toHaveLength(3);
  });

  it('drops bytes without an output', () => {
    const output = new BatchedOutput(undefined);
    put(output, 'nobody');
    output.flush();
    expect(output.ready).toBe(true);
  });

  it.each([null, 'stdout', {}, 5])('refuses %p', (output) => {
    expect(() => new BatchedOutput(output as unknown as ByteSink)).toThrow(expect.objectContaining({ code: 'ERR_HAX_INVALID_ARGUMENT' }));
  });

  it('writes to a Writable, and notices when it is full and when it drains', async () => {
    const stream = new PassThrough({ highWaterMark: 10 });
    const ready = jest.fn();
    const output = new BatchedOutput(stream, ready);
    for (let i = 0; i < maxBatch + maxBacklog; i++) output.put(1);
    expect(output.ready).toBe(false);
    let length = 0;
    stream.on('data', (chunk: Buffer) => (length += chunk.length));
    await turn();
    expect([output.ready, ready.mock.calls.length, length]).toEqual([true, 1, maxBatch + maxBacklog]);
  });

  it('drops what is sent to a Writable that has ended or was destroyed', async () => {
    const ended = new PassThrough();
    ended.end();
    const destroyed = new Writable({ write: (_chunk, _encoding, done) => done() });
    destroyed.destroy();
    for (const stream of [ended, destroyed]) {
      const errors = jest.fn();
      stream.on('error', errors);
      const output = new BatchedOutput(stream);
      for (let i = 0; i < 3 * (maxBatch + maxBacklog); i++) output.put(1);
      await turn();
      expect([output.ready, errors.mock.calls.length]).toEqual([true, 0]);
    }
  });

  it('keeps a bounded backlog for a sink that holds back, and loses what comes on top', () => {
    const sink = new Held();
    const ready = jest.fn();
    const output = new BatchedOutput(sink, ready);
    for (let i = 0; i < maxBatch; i++) output.put(1);
    for (let i = 0; i < maxBacklog; i++) {
      if (!output.ready) throw new Error('too early');
      output.put(2);
    }
    expect(output.ready).toBe(false);
    output.put(3);
    for (let i = 0; i < sink.drains.length; i++) sink.drains[i]();
    expect([output.ready, ready.mock.calls.length, sink.length]).toEqual([true, 1, maxBatch + maxBacklog]);
    expect(sink.chunks.every((chunk) => !chunk.includes(3))).toBe(true);
  });

  it('says that it is ready only when it was not', () => {
    const sink = new Held();
    const ready = jest.fn();
    const output = new BatchedOutput(sink, ready);
    for (let i = 0; i < 2 * maxBatch; i++) output.put(1);
    sink.drains[0]();
    sink.drains[0]();
    sink.drains[1]();
    expect([sink.length, ready.mock.calls.length]).toEqual([2 * maxBatch, 0]);
  });

  it('does not wait when the sink drains before it has returned', () => {
    const sink = jest.fn((_bytes: Uint8Array, onDrain: () => void) => {
      onDrain();
      return false;
    });
    const output = new BatchedOutput(sink);
    for (let i = 0; i < 3 * maxBatch; i++) output.put(1);
    expect([sink.mock.calls.length, output.ready]).toEqual([3, true]);
  });

  it('hands on everything at the end, though the sink holds back', () => {
    const sink = new Held();
    const output = new BatchedOutput(sink);
    for (let i = 0; i < 3 * maxBatch + 10; i++) output.put(1);
    expect(sink.length).toBe(maxBatch);
    output.flush();
    expect(sink.length).toBe(3 * maxBatch + 10);
    for (const drain of sink.drains) drain();
    put(output, 'more');
    output.flush();
    expect(sink.length).toBe(3 * maxBatch + 14);
  });

  it('may be written to by its own sink', () => {
    const chunks: string[] = [];
    const output: BatchedOutput = new BatchedOutput((bytes) => {
      chunks.push(Buffer.from(bytes).toString());
      if (chunks.length === 1) put(output, 'echo');
    });
    put(output, 'first');
    output.flush();
    expect(chunks).toEqual(['first', 'echo']);
  });
});
