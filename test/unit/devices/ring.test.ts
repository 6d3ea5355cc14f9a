import fc from 'fast-check';
import { Ring } from '../../../lib/devices/ring';

describe('Ring', () => {
  it('behaves as an array with a limit', () => {
    const action = fc.oneof(
      { weight: 3, arbitrary: fc.record({ do: fc.constant('push' as const), value: fc.nat(0xffff) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant('shift' as const), value: fc.constant(0) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constantFrom('clear' as const, 'set' as const), value: fc.nat(0xffff) }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant('load' as const), value: fc.nat(5) }) },
    );
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.array(action), (capacity, actions) => {
        const ring = new Ring(capacity);
        let model: number[] = [];
        for (const each of actions) {
          if (each.do === 'push') {
            expect(ring.push(each.value)).toBe(model.length < capacity);
            if (model.length < capacity) model.push(each.value);
          } else if (each.do === 'shift') {
            expect(ring.shift()).toBe(model.shift());
          } else if (each.do === 'set') {
            if (model.length === 0) continue;
            ring.set(model.length - 1, each.value);
            model[model.length - 1] = each.value;
          } else {
            model = each.do === 'load' ? Array.from({ length: Math.min(each.value, capacity) }, (_, index) => index) : [];
            if (each.do === 'load') ring.load(model);
            else ring.clear();
          }
          expect(ring.toArray()).toEqual(model);
          expect([ring.length, ring.free, ring.at(0), ring.at(model.length)]).toEqual([
            model.length,
            capacity - model.length,
            model[0],
            undefined,
          ]);
        }
      }),
    );
  });
});
