/** Gathering: what waits for a store that hangs takes only so much memory. */
import t from 'tap';
import { MOST_GATHERED, gathering } from '../../src/intake/gather.ts';

await t.test('with too many waiting the next is refused at once, and those who wait get their answers', async (t) => {
  let go = (): void => undefined;
  const hangs = new Promise<void>((resolve) => {
    go = resolve;
  });
  const ask = gathering(100, async (all: readonly number[]) => {
    await hangs;
    return all;
  });
  const first = ask(0);
  const waiting = Array.from({ length: MOST_GATHERED }, (_one, n) => ask(n + 1));
  await t.rejects(ask(-1), { code: 'store-away' });
  go();
  t.equal(await first, 0);
  t.same((await Promise.all(waiting)).at(-1), MOST_GATHERED);
  t.equal(await ask(7), 7, 'and it goes on');
});
