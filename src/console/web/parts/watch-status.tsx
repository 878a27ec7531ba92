/** One calm line at the foot of the screen: whether alarms get through, as the centre has tried out itself. */
import { useEffect, useState } from 'react';
import type { WatchView } from '../../watch-routes.ts';
import { type WatchState, watchStateOf } from '../view/watch.ts';
import { useApp, useNow } from './context.tsx';

const ASK_EVERY_MS = 30_000;

export function WatchStatus() {
  const { api, clock, session, texts } = useApp();
  const [watch, setWatch] = useState<WatchView | null>(null);
  const now = useNow();
  const allowed = session.roles.some((role) => role !== 'responder');
  useEffect(() => {
    if (!allowed) return undefined;
    let left = false;
    const ask = async (): Promise<void> => {
      const answer = await api.get<WatchView>('/api/v1/watch');
      if (!left && answer.ok) setWatch(answer.value);
    };
    void ask();
    const timer = clock.every(ASK_EVERY_MS, () => void ask());
    return () => {
      left = true;
      timer.cancel();
    };
  }, [api, clock, allowed]);
  if (!allowed) return null;
  const state = watchStateOf(watch, now);
  return (
    <footer className="watch-status" data-state={state.state}>
      <span className="dot" aria-hidden="true" />
      {said(state)}
    </footer>
  );

  function said(about: WatchState): string {
    const { watch: words } = texts;
    if (about.state === 'unknown') return words.unknown;
    if (about.state === 'failed') return words.failed(about.protocol.toUpperCase(), words.steps[about.step] ?? about.step);
    if (about.since === null) return words.never;
    const seconds = Math.max(0, Math.round((now - about.since) / 1000));
    return about.state === 'fine' ? words.fine(seconds) : words.late(Math.round(seconds / 60));
  }
}
