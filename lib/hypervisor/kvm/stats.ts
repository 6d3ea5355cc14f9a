import type { NativeDescriptor } from '../../native/addon';
import { decode, sizeOf } from './codec';
import type { KvmDescriptor } from './eventfd';
import type { KvmStatsHeader } from './generated/uapi';

const types = ['cumulative', 'instant', 'peak', 'linear-histogram', 'log-histogram'] as const;
const units = ['none', 'bytes', 'seconds', 'cycles', 'boolean'] as const;

/** One statistic: a value is `base` to the power of `exponent` of `unit`. */
export interface KvmStatistic {
  /** The kernel's name, for example `exits`. */
  readonly name: string;
  /** `cumulative` only grows, `instant` is now, `peak` the most so far; the others are histograms. */
  readonly type: (typeof types)[number] | 'unknown';
  /** What a value counts; `boolean` is 0 or 1. */
  readonly unit: (typeof units)[number] | 'unknown';
  /** What `exponent` is a power of. */
  readonly base: 2 | 10;
  /** May be negative: -9 with base 10 and seconds, nanoseconds. */
  readonly exponent: number;
  /** Values: 1, or the number of buckets of a histogram. */
  readonly size: number;
  /** Of the values, from the start of the data. */
  readonly offset: number;
  /** Width of a bucket of a linear histogram. */
  readonly bucketSize: number;
}

/** Statistics of a VM or a vCPU as the kernel describes them itself; KVM_GET_STATS_FD (4.133). */
export class KvmStats {
  /** Where the parts of the file are, and how many statistics there are. */
  readonly header: KvmStatsHeader;
  /** Whose they are, for example `kvm-1234/vcpu-0`. */
  readonly id: string;
  /** In the order of the kernel. */
  readonly statistics: readonly KvmStatistic[];

  constructor(
    /** What KVM_GET_STATS_FD returned; close() closes it. */
    readonly descriptor: KvmDescriptor,
  ) {
    try {
      ({ header: this.header, id: this.id, statistics: this.statistics } = describe(descriptor.native));
    } catch (error) {
      descriptor.close();
      throw error;
    }
  }

  /** All values now, by name. */
  read(): Record<string, readonly bigint[]> {
    const last = Math.max(0, ...this.statistics.map(({ offset, size }) => offset + size * 8));
    const data = readAt(this.descriptor.native, this.header.data_offset, last);
    const view = new DataView(data.buffer);
    return Object.fromEntries(
      this.statistics.map(({ name, offset, size }) => [
        name,
        Array.from({ length: size }, (_, i) => view.getBigUint64(offset + i * 8, true)),
      ]),
    );
  }

  /** Closes the descriptor. Idempotent. */
  close(): void {
    this.descriptor.close();
  }
}

/** What the kernel says of the statistics in a descriptor (api.rst 4.133). */
function describe(native: NativeDescriptor): Pick<KvmStats, 'header' | 'id' | 'statistics'> {
  const header = decode('kvm_stats_header', readAt(native, 0, sizeOf('kvm_stats_header')));
  const { name_size, num_desc, id_offset, desc_offset } = header;
  const stride = sizeOf('kvm_stats_desc') + name_size;
  const table = readAt(native, desc_offset, num_desc * stride);
  const statistics = Array.from({ length: num_desc }, (_, i): KvmStatistic => {
    const at = i * stride;
    const { flags, exponent, size, offset, bucket_size } = decode('kvm_stats_desc', table, at);
    return {
      name: text(table.subarray(at + sizeOf('kvm_stats_desc'), at + stride)),
      type: types[flags & 0xf] ?? 'unknown',
      unit: units[(flags >> 4) & 0xf] ?? 'unknown',
      base: (flags >> 8) & 0xf ? 2 : 10,
      exponent,
      size,
      offset,
      bucketSize: bucket_size,
    };
  });
  return { header, id: text(readAt(native, id_offset, name_size)), statistics };
}

function readAt(native: NativeDescriptor, offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length;) {
    const count = native.read(bytes.subarray(at), offset + at);
    if (count === 0) break;
    at += count;
  }
  return bytes;
}

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(bytes.subarray(0, end < 0 ? undefined : end)).toString();
}
