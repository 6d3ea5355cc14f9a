import { setImmediate as turn } from 'node:timers/promises';
import { Intermission } from '../../../lib/machine/intermission';

it('lasts as long as its condition, and keeps the process alive meanwhile if it is to', async () => {
  const made = jest.spyOn(global, 'setInterval');
  const keepsAlive = (): boolean => (made.mock.results[0].value as NodeJS.Timeout).hasRef();
  const ended = jest.spyOn(global, 'clearInterval');
  const intermission = new Intermission();
  intermission.look();
  await intermission.last(() => false, true);
  expect(made).not.toHaveBeenCalled();
  let [waits, over] = [true, false];
  const wait = intermission.last(() => waits, true).then(() => (over = true));
  expect(keepsAlive()).toBe(true);
  intermission.setReferenced(false);
  expect(keepsAlive()).toBe(false);
  intermission.setReferenced(true);
  expect(keepsAlive()).toBe(true);
  intermission.look();
  await turn();
  expect(over).toBe(false);
  waits = false;
  intermission.look();
  await wait;
  expect(ended).toHaveBeenCalledWith(made.mock.results[0].value);
  intermission.setReferenced(true);
});
