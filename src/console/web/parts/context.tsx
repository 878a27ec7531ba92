/** What every screen shares: texts, session, feed, clock, sound and the way to the centre. */
import { createContext, useCallback, useContext, useEffect, useRef, useState, useSyncExternalStore } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { Centre, Duty, OrderedCommand, Problem, Session } from '../contract.ts';
import { type Api, alarmPath, newKey } from '../net/http.ts';
import type { BrowserClock } from '../net/browser-clock.ts';
import type { Live } from '../net/live.ts';
import type { Tones } from '../net/tones.ts';
import type { Texts } from '../texts/nb.ts';
import type { Say } from '../texts/words.ts';
import { instantOf, whenText } from '../view/ages.ts';
import type { Offer } from '../view/commands.ts';
import type { FeedState } from '../view/feed.ts';

export interface App {
  readonly texts: Texts;
  readonly session: Session;
  readonly centre: Centre | null;
  readonly api: Api;
  readonly live: Live;
  readonly clock: BrowserClock;
  readonly tones: Tones;
  /** Account → name, as far as known. */
  readonly names: ReadonlyMap<string, string>;
  /** Team id → name. */
  readonly teams: ReadonlyMap<string, string>;
  readonly learn: (duty: Duty) => void;
  readonly signOut: () => void;
  readonly go: (address: string) => void;
  readonly toggleLanguage: () => void;
}

const AppContext = createContext<App | null>(null);
export const AppProvider = AppContext.Provider;

export function useApp(): App {
  const app = useContext(AppContext);
  if (app === null) throw new Error('useApp outside of AppProvider');
  return app;
}

export const useTexts = (): Texts => useApp().texts;

export function useFeed(): FeedState {
  const { live } = useApp();
  return useSyncExternalStore(live.subscribe, live.state);
}

/** Server time in whole seconds; the component is drawn again each second. */
export function useNow(): number {
  const { clock } = useApp();
  const subscribe = useCallback(
    (reader: () => void) => {
      const timer = clock.every(250, reader);
      return () => timer.cancel();
    },
    [clock],
  );
  return useSyncExternalStore(subscribe, () => Math.floor(clock.now() / 1000) * 1000);
}

/** A number that changes every `period`: what is read with it is read anew. */
export function useTurn(period: number): number {
  const { clock } = useApp();
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    const timer = clock.every(period, () => setTurn((n) => n + 1));
    return () => timer.cancel();
  }, [clock, period]);
  return turn;
}

export const nameOf = (app: Pick<App, 'names' | 'session'>, account: string): string =>
  account === app.session.account ? app.session.name : (app.names.get(account) ?? account);

/** Whom something was sent to: a team by its id, or a person. */
export const sentToName = (app: Pick<App, 'names' | 'session' | 'teams'>, to: string): string => app.teams.get(to) ?? nameOf(app, to);

/** How sentences name accounts, teams and times for this reader. */
export function sayFor(app: App): Say {
  return {
    who: (account) => nameOf(app, account),
    team: (id) => sentToName(app, id),
    time: (at) => whenText(at, app.clock.now()),
    minutes: (ms) => Math.round(ms / 60_000),
  };
}

export const clockTime = (app: App, iso: string | null): string => {
  const at = instantOf(iso);
  return at === null ? '–' : whenText(at, app.clock.now());
};

export type Loaded<T> =
  | { readonly state: 'loading'; readonly value: T | null }
  | { readonly state: 'ready'; readonly value: T }
  | { readonly state: 'failed'; readonly value: T | null; readonly problem: Problem | null };

/** Reads a path, and again when it or `turn` changes; what was there stays while the new is on its way. Null reads nothing. */
export function useLoaded<T>(path: string | null, turn: string | number = 0): Loaded<T> & { readonly again: () => void } {
  const { api } = useApp();
  const [loaded, setLoaded] = useState<Loaded<T> & { path: string | null }>({ state: 'loading', value: null, path });
  const [retry, setRetry] = useState(0);
  useEffect(() => {
    if (path === null) return;
    let current = true;
    setLoaded((before) => ({ state: 'loading', value: before.path === path ? before.value : null, path }));
    void api.get<T>(path).then((answer) => {
      if (!current) return;
      setLoaded((before) =>
        answer.ok
          ? { state: 'ready', value: answer.value, path }
          : { state: 'failed', value: before.path === path ? before.value : null, problem: answer.problem, path },
      );
    });
    return () => {
      current = false;
    };
  }, [api, path, turn, retry]);
  const again = useCallback(() => setRetry((n) => n + 1), []);
  const own: Loaded<T> = loaded.path === path ? loaded : { state: 'loading', value: null };
  return { ...own, again };
}

export type OrderState =
  | { readonly state: 'idle' }
  | { readonly state: 'pending'; readonly command: OrderedCommand['command'] }
  | { readonly state: 'refused'; readonly command: OrderedCommand['command']; readonly problem: Problem | null };

export const randomKey = (): string => newKey((bytes) => crypto.getRandomValues(bytes as Uint8Array<ArrayBuffer>));

/** How often an unanswered command is sent again, under the same key, before the operator is told. */
const TRIES = 2;

/** Gives commands on one alarm: nothing is shown as done before the centre has answered. */
export function useOrder(number: string): {
  order: OrderState;
  give: (command: OrderedCommand, version: number) => Promise<boolean>;
  clear: () => void;
} {
  const { api, live } = useApp();
  const [order, setOrder] = useState<OrderState>({ state: 'idle' });
  const busy = useRef(false);
  const current = useRef(number);
  current.current = number;
  useEffect(() => {
    setOrder({ state: 'idle' });
    busy.current = false;
  }, [number]);
  const give = useCallback(
    async (command: OrderedCommand, version: number): Promise<boolean> => {
      if (busy.current) return false;
      busy.current = true;
      const show = (state: OrderState): void => {
        if (current.current !== number) return;
        busy.current = state.state === 'pending';
        setOrder(state);
      };
      show({ state: 'pending', command: command.command });
      const body = { ...command, version, key: randomKey() };
      let answer = await api.post<AlarmView>(alarmPath(number, '/commands'), body);
      for (let tries = 1; tries < TRIES && !answer.ok && answer.problem === null; tries += 1) {
        answer = await api.post<AlarmView>(alarmPath(number, '/commands'), body);
      }
      if (answer.ok) {
        live.take(answer.value);
        show({ state: 'idle' });
        return true;
      }
      show({ state: 'refused', command: command.command, problem: answer.problem });
      return false;
    },
    [api, live, number],
  );
  const clear = useCallback(() => setOrder((now) => (now.state === 'refused' ? { state: 'idle' } : now)), []);
  return { order, give, clear };
}

/** Why an offer is barred, in the words that the refusal itself would have. */
export function blockedText(app: App, { blocked }: Offer): string {
  if (blocked === null) return '';
  return refusalText(app, { status: 409, code: blocked.why, detail: '', ...(blocked.by === undefined ? {} : { by: blocked.by }) });
}

/** A refusal in plain words, with who stands in the way. */
export function refusalText(app: App, problem: Problem | null, command?: OrderedCommand['command']): string {
  const { texts } = app;
  if (problem === null) return texts.app.noAnswer;
  if (problem.code === 'store-away' && command === 'claim') return texts.provisional.claimAway;
  const refusals: Readonly<Record<string, string>> = { ...texts.dutyRefusals, ...texts.problems, ...texts.refusals };
  const known = refusals[problem.code];
  const what = known ?? (problem.status === 404 ? texts.app.notFound : problem.detail === '' ? texts.app.unexpected : problem.detail);
  return problem.by === undefined ? `${what}.`.replace('..', '.') : `${what}: ${nameOf(app, problem.by)}.`;
}
