/**
 * Which writes go into KVM's ring (api.rst 4.116): the posted ranges of one bus without their doorbells, as zones that do not overlap. The
 * kernel takes away every zone that a given one lies in (virt/kvm/coalesced_mmio.c), and finds neither a zone nor an eventfd for certain where
 * both have an address.
 */
import { AddressRange } from '../bus/range';
import type { VirtualMachine } from './vm';

/** The kernel reads sizes as an int where a zone goes. */
const largestZone = 2 ** 30;

export class CoalescedZones {
  readonly #posted = new Set<AddressRange>();
  readonly #doorbells = new Set<AddressRange>();
  /** What the kernel has, by what toString() says. */
  readonly #zones = new Map<string, AddressRange>();

  constructor(
    private readonly vm: VirtualMachine,
    /** Of ports; else of addresses. */
    private readonly pio: boolean,
  ) {}

  /** Has writes to a range wait in the ring; the result undoes that. */
  post(range: AddressRange): () => void {
    return this.#add(this.#posted, range);
  }

  /** The address of a doorbell, whatever is posted around it. */
  exclude(range: AddressRange): () => void {
    return this.#add(this.#doorbells, range);
  }

  #add(to: Set<AddressRange>, range: AddressRange): () => void {
    // An object of its own: two may be alike.
    const own = AddressRange.of(range.first, range.length);
    const undo = (): void => {
      if (to.delete(own) && !this.vm.closed) this.#update();
    };
    to.add(own);
    try {
      this.#update();
    } catch (error) {
      undo();
      throw error;
    }
    return undo;
  }

  /** A write that finds its zone gone meanwhile is an exit, before which the ring is drained. */
  #update(): void {
    const { kvm } = this.vm;
    const zone = ({ first, length }: AddressRange): { addr: number; size: number; pio: boolean } => ({
      addr: first,
      size: length,
      pio: this.pio,
    });
    const wanted = new Map(this.#wanted().map((range) => [String(range), range]));
    for (const [name, range] of this.#zones) {
      if (wanted.has(name)) continue;
      kvm.unregisterCoalescedMmio(zone(range));
      this.#zones.delete(name);
    }
    for (const [name, range] of wanted) {
      if (this.#zones.has(name)) continue;
      kvm.registerCoalescedMmio(zone(range));
      this.#zones.set(name, range);
    }
  }

  #wanted(): AddressRange[] {
    let ranges = united([...this.#posted]);
    for (const bell of this.#doorbells) ranges = ranges.flatMap((range) => without(range, bell));
    return ranges.flatMap(inPieces);
  }
}

const between = (first: number, last: number): AddressRange[] => (first > last ? [] : [AddressRange.of(first, last - first + 1)]);

/** Ranges that share no address, for those that may. */
function united(ranges: AddressRange[]): AddressRange[] {
  const all: AddressRange[] = [];
  for (const range of ranges.sort((a, b) => a.first - b.first)) {
    const before = all.at(-1);
    if (before?.overlaps(range)) all.splice(-1, 1, ...between(before.first, Math.max(before.last, range.last)));
    else all.push(range);
  }
  return all;
}

function without(range: AddressRange, hole: AddressRange): AddressRange[] {
  if (!range.overlaps(hole)) return [range];
  return [...between(range.first, hole.first - 1), ...between(hole.last + 1, range.last)];
}

function inPieces(range: AddressRange): AddressRange[] {
  const pieces: AddressRange[] = [];
  for (let first = range.first; first <= range.last; first += largestZone)
    pieces.push(...between(first, Math.min(first + largestZone - 1, range.last)));
  return pieces;
}
