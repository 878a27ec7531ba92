/** What keeps an operator's attention where it belongs: the sound, what is read aloud, the newest alarm, and the row that follows its alarm. */
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { ShownProvisional } from '../../direct.ts';
import { newestWaiting } from '../view/board.ts';
import type { FeedState } from '../view/feed.ts';
import { addressOf } from '../view/places.ts';
import { newestProvisional } from '../view/provisional.ts';
import { soundNow } from '../view/sounds.ts';
import { subjectOf } from './alarm-row.tsx';
import { useApp } from './context.tsx';

/** Sounds until somebody has taken what asks for it; says whether the browser lets it. */
export function useSoundAlarm({ open, provisional }: FeedState): 'ready' | 'muted' | 'off' {
  const { tones, session } = useApp();
  const priority = soundNow(open.values(), session.account, provisional.alarms.values());
  useEffect(() => tones.play(priority), [tones, priority]);
  useEffect(() => () => tones.play(null), [tones]);
  // Any gesture lets the browser sound: there is no reason to wait for the banner's button.
  useEffect(() => {
    const wake = (): void => void tones.wake();
    addEventListener('pointerdown', wake, { once: true });
    addEventListener('keydown', wake, { once: true });
    return () => {
      removeEventListener('pointerdown', wake);
      removeEventListener('keydown', wake);
    };
  }, [tones]);
  return useSyncExternalStore(tones.subscribe, tones.sound);
}

/** Says new alarms to screen readers; what was open when the page came is not news. */
export function useAnnouncement({ open, provisional, feed }: FeedState): string {
  const app = useApp();
  const heard = useRef<Map<string, number> | null>(null);
  const [said, setSaid] = useState('');
  const ready = feed !== null;
  const { alarms, became } = provisional;
  useEffect(() => {
    if (!ready) return;
    const before = heard.current;
    // What was said as a provisional alarm is no news when it becomes an alarm.
    const saidAlready = new Set(became.values());
    const now = [...alarms.values(), ...open.values()];
    const fresh = now.filter(
      (alarm) =>
        alarm.priority !== 'technical' &&
        before !== null &&
        (before.get(alarm.number) ?? 0) < timesOf(alarm) &&
        !(saidAlready.has(alarm.number) && timesOf(alarm) === 1),
    );
    heard.current = new Map(now.map((alarm) => [alarm.number, timesOf(alarm)]));
    const [first] = fresh;
    if (first === undefined) return;
    const { texts } = app;
    setSaid(texts.board.announce(texts.priorities[first.priority], texts.kinds[first.kind], subjectOf(app, first)));
  }, [open, alarms, became, ready, app]);
  return said;
}
const timesOf = (alarm: AlarmView | ShownProvisional): number => ('signalCount' in alarm ? alarm.signalCount : 1);

/** Where the eyes are stays the same need: the card, or the chosen row, goes from the provisional alarm to the alarm that it became. */
export function useFollow(opened: string | null, became: ReadonlyMap<string, string | null>): void {
  const { go } = useApp();
  const chosen = useRef<string | null>(null);
  useEffect(() => {
    const remember = (): void => {
      chosen.current = focusedNumber();
    };
    addEventListener('focusin', remember);
    return () => removeEventListener('focusin', remember);
  }, []);
  useEffect(() => {
    const next = opened === null ? undefined : became.get(opened);
    if (typeof next === 'string') go(addressOf({ screen: 'board', alarm: next }));
    const row = chosen.current === null ? undefined : became.get(chosen.current);
    if (typeof row !== 'string' || focusedNumber() !== null) return;
    chosen.current = null;
    if (next === undefined) rowOf(row)?.focus();
  }, [opened, became, go]);
}

/** The alarm or provisional alarm that came last and that nobody has taken. */
export function newestOf({
  open,
  provisional,
}: FeedState): (Pick<AlarmView, 'number' | 'priority' | 'kind' | 'household' | 'device'> & { at: string }) | null {
  const alarm = newestWaiting(open.values());
  const early = newestProvisional(provisional.alarms.values());
  if (early !== null && (alarm === null || early.receivedAt > alarm.lastSignalAt)) return { ...early, at: early.receivedAt };
  return alarm === null ? null : { ...alarm, at: alarm.lastSignalAt };
}

/** The row of an alarm, as it is drawn. */
export const rowOf = (number: string): HTMLElement | null => document.querySelector(`.row[data-number="${CSS.escape(number)}"]`);
/** The alarm whose row has the focus. */
export const focusedNumber = (): string | null =>
  document.activeElement instanceof HTMLElement ? (document.activeElement.dataset['number'] ?? null) : null;
