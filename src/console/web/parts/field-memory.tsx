/** What the phone page knows and keeps: cases from the feed and from memory, cards, and acts on their way. */
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { CardView, Duty, OrderedCommand } from '../contract.ts';
import { alarmPath } from '../net/http.ts';
import { type Kept, type KeptCase, keepCases, readKept, writeKept } from '../net/kept.ts';
import { Outbox } from '../net/outbox.ts';
import { type Acts } from '../view/acts.ts';
import { toIso } from '../../../base/clock.ts';
import { randomKey, useApp, useFeed } from './context.tsx';

export interface FieldMemory {
  readonly cases: readonly KeptCase[];
  readonly acts: Acts;
  readonly duty: Duty | null;
  readonly setDuty: (duty: Duty) => void;
  readonly act: (alarm: AlarmView, command: OrderedCommand) => void;
  readonly dismiss: (key: string) => void;
}

const EMPTY_ACTS: Acts = [];

export function useFieldMemory(): FieldMemory {
  const { session, centre, api, clock, live, learn } = useApp();
  const feed = useFeed();
  const [kept, setKept] = useState<Kept>(() => {
    const before = readKept(localStorage);
    return before?.session.account === session.account ? before : { session, centre, duty: null, cases: [], acts: EMPTY_ACTS };
  });
  const latest = useRef(kept);
  // Answers may come after somebody signed out: nothing of them may be written where the next person finds it.
  const here = useRef(true);
  useLayoutEffect(() => {
    here.current = true;
    return () => {
      here.current = false;
    };
  }, []);
  const change = useCallback((part: Partial<Kept>) => {
    if (!here.current) return;
    latest.current = { ...latest.current, ...part };
    writeKept(localStorage, latest.current);
    setKept(latest.current);
  }, []);

  const outbox = useMemo(
    () => new Outbox({ api, clock, keep: (acts) => change({ acts }), onAnswer: (alarm) => live.take(alarm) }, latest.current.acts),
    [api, clock, live, change],
  );
  const acts = useSyncExternalStore(outbox.subscribe, outbox.acts);
  useEffect(() => {
    const flush = (): void => void outbox.flush();
    outbox.start();
    addEventListener('online', flush);
    return () => {
      removeEventListener('online', flush);
      outbox.stop();
    };
  }, [outbox]);
  // The socket is back: so is the way for what waits.
  useEffect(() => {
    if (feed.connected) void outbox.flush();
  }, [feed.connected, outbox]);
  useEffect(() => change({ session, centre: centre ?? latest.current.centre }), [session, centre, change]);

  const cards = useRef(new Map<string, CardView>());
  const asked = useRef(new Set<string>());
  const { open, gone } = feed;
  const known = feed.feed !== null;
  // A card comes when the alarm may have moved on: it is kept with the alarm as it is then.
  const seenNow = useRef({ open, gone });
  seenNow.current = { open, gone };
  useEffect(() => {
    if (!known) return;
    const keep = (): void => {
      const now = toIso(clock.now());
      const { open: openNow, gone: goneNow } = seenNow.current;
      const seen = new Map(openNow);
      for (const { alarm } of latest.current.cases) {
        const closed = goneNow.get(alarm.number)?.alarm ?? null;
        if (closed !== null) seen.set(alarm.number, closed);
      }
      change({ cases: keepCases(latest.current.cases, seen, cards.current, now) });
    };
    keep();
    for (const number of open.keys()) {
      if (cards.current.has(number) || asked.current.has(number)) continue;
      asked.current.add(number);
      void api.get<CardView>(alarmPath(number, '/card?why=alarm')).then((answer) => {
        if (answer.ok) cards.current.set(number, answer.value);
        else asked.current.delete(number);
        keep();
      });
    }
  }, [api, change, clock, known, open, gone]);

  const setDuty = useCallback(
    (duty: Duty) => {
      learn(duty);
      change({ duty });
    },
    [change, learn],
  );
  const act = useCallback(
    (alarm: AlarmView, command: OrderedCommand) => {
      void outbox.put({
        key: randomKey(),
        number: alarm.number,
        command,
        version: alarm.version,
        doneAt: toIso(clock.now()),
        delayed: !navigator.onLine,
        refused: null,
      });
    },
    [clock, outbox],
  );
  const dismiss = useCallback((key: string) => outbox.dismiss(key), [outbox]);
  return { cases: kept.cases, acts, duty: kept.duty, setDuty, act, dismiss };
}
