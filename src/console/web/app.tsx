/** The whole browser side: who is signed in, which screen, and the parts that outlive a screen. */
import { useCallback, useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';
import { flushSync } from 'react-dom';
import type { Centre, Duty, Problem, Session } from './contract.ts';
import { BrowserClock } from './net/browser-clock.ts';
import { type Api, createApi } from './net/http.ts';
import { isLeaving, markLeaving, readKept, wipeKept } from './net/kept.ts';
import { Live } from './net/live.ts';
import { Tones } from './net/tones.ts';
import { Board } from './parts/board.tsx';
import { type App, AppProvider } from './parts/context.tsx';
import { Devices } from './parts/devices.tsx';
import { DutyPage } from './parts/duty.tsx';
import { Field } from './parts/field.tsx';
import { Shell } from './parts/shell.tsx';
import { SignIn } from './parts/sign-in.tsx';
import { en } from './texts/en.ts';
import { type Texts, nb } from './texts/nb.ts';
import { type Place, placeOf, screensOf } from './view/places.ts';

type Who =
  | { readonly state: 'asking' }
  | { readonly state: 'nobody'; readonly problem: Problem | null; readonly expired: boolean }
  /** `offline`: known from the phone's memory, the centre has not been reached yet. */
  | { readonly state: 'signed-in'; readonly session: Session; readonly offline: boolean };

interface Parts {
  readonly clock: BrowserClock;
  readonly api: Api;
  readonly live: Live;
  readonly tones: Tones;
}

/** Ends the session at the centre; without network it is tried again when the page opens. */
async function leave(api: Api): Promise<void> {
  const answer = await api.delete('/api/v1/session');
  if (answer.ok || answer.problem !== null) markLeaving(localStorage, false);
}

const LANGUAGE = 'language';

function useLanguage(): [Texts, () => void] {
  const [texts, setTexts] = useState<Texts>(() => (localStorage.getItem(LANGUAGE) === 'en' ? en : nb));
  useEffect(() => {
    document.documentElement.lang = texts.lang;
  }, [texts]);
  const toggle = useCallback(() => {
    setTexts((now) => {
      const next = now.lang === 'nb' ? en : nb;
      localStorage.setItem(LANGUAGE, next.lang);
      return next;
    });
  }, []);
  return [texts, toggle];
}

function usePlace(session: Session | null): Place {
  const read = useCallback((): Place => placeOf(location.pathname, location.hash, session?.roles ?? []), [session]);
  const [place, setPlace] = useState(read);
  useEffect(() => {
    const follow = (): void => setPlace(read());
    follow();
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, [read]);
  return place;
}

export function Root() {
  const [texts, toggleLanguage] = useLanguage();
  const [who, setWho] = useState<Who>({ state: 'asking' });
  const signedOut = useRef<() => void>(() => undefined);

  const parts = useMemo<Parts>(() => {
    const clock = new BrowserClock();
    const api = createApi(
      (path, init) => fetch(path, init),
      clock,
      () => signedOut.current(),
    );
    const connect = (path: string): WebSocket =>
      new WebSocket(`${location.protocol === 'https:' ? 'wss' : 'ws'}://${location.host}${path}`);
    const onLost = (): void => void api.get<Session>('/api/v1/session');
    return {
      clock,
      api,
      live: new Live({ connect, clock, random: Math.random, onLost }),
      tones: new Tones(() => new AudioContext(), clock),
    };
  }, []);
  const { api, live } = parts;

  useEffect(() => {
    signedOut.current = () => setWho((now) => (now.state === 'signed-in' ? { state: 'nobody', problem: null, expired: true } : now));
  }, []);

  const ask = useCallback(async () => {
    if (isLeaving(localStorage)) await leave(api);
    if (isLeaving(localStorage)) return setWho({ state: 'nobody', problem: null, expired: false });
    const answer = await api.get<Session>('/api/v1/session');
    if (answer.ok) return setWho({ state: 'signed-in', session: answer.value, offline: false });
    const kept = answer.problem === null ? readKept(localStorage) : null;
    if (kept !== null) return setWho({ state: 'signed-in', session: kept.session, offline: true });
    setWho((now) => (now.state === 'signed-in' ? now : { state: 'nobody', problem: answer.problem, expired: false }));
  }, [api]);
  useEffect(() => void ask(), [ask]);

  const session = who.state === 'signed-in' ? who.session : null;
  useEffect(() => {
    if (session === null) return;
    live.start();
    const hurry = (): void => live.hurry();
    addEventListener('online', hurry);
    return () => {
      removeEventListener('online', hurry);
      live.stop();
    };
  }, [live, session]);

  const signOut = useCallback(() => {
    live.stop();
    markLeaving(localStorage, true);
    // First nobody is there who could still write, then what was kept goes.
    flushSync(() => setWho({ state: 'nobody', problem: null, expired: false }));
    wipeKept(localStorage);
    location.hash = '';
    void leave(api);
  }, [api, live]);

  if (who.state === 'asking')
    return (
      <p className="waiting" aria-live="polite">
        {texts.app.loading}
      </p>
    );
  if (who.state === 'nobody' || session === null) {
    return (
      <SignIn
        texts={texts}
        api={api}
        problem={who.state === 'nobody' ? who.problem : null}
        expired={who.state === 'nobody' && who.expired}
        onSignedIn={(next) => {
          markLeaving(localStorage, false);
          if (readKept(localStorage)?.session.account !== next.account) wipeKept(localStorage);
          setWho({ state: 'signed-in', session: next, offline: false });
        }}
        toggleLanguage={toggleLanguage}
      />
    );
  }
  return <SignedIn key={session.account} parts={parts} session={session} texts={texts} toggleLanguage={toggleLanguage} signOut={signOut} />;
}

interface SignedInProps {
  readonly parts: Parts;
  readonly session: Session;
  readonly texts: Texts;
  readonly toggleLanguage: () => void;
  readonly signOut: () => void;
}

function SignedIn({ parts, session, texts, toggleLanguage, signOut }: SignedInProps) {
  const place = usePlace(session);
  const [centre, setCentre] = useState<Centre | null>(() => readKept(localStorage)?.centre ?? null);
  const [{ names, teams }, setKnown] = useState({ names: new Map<string, string>(), teams: new Map<string, string>() });
  const learn = useCallback((duty: Duty) => {
    setKnown((before) => {
      const people = duty.teams.flatMap((team) => team.onDuty.map(({ account, name }) => [account, name] as const));
      const named = duty.teams.map(({ id, name }) => [id, name] as const);
      const known =
        people.every(([account, name]) => before.names.get(account) === name) && named.every(([id, name]) => before.teams.get(id) === name);
      return known ? before : { names: new Map([...before.names, ...people]), teams: new Map([...before.teams, ...named]) };
    });
  }, []);
  const { api } = parts;
  useEffect(() => {
    void api.get<Centre>('/api/v1/centre').then((answer) => answer.ok && setCentre(answer.value));
    void api.get<Duty>('/api/v1/duty').then((answer) => answer.ok && learn(answer.value));
  }, [api, learn]);

  // Names of operators come with the live page too: the list of duty cannot be read while the database is away.
  const { live } = parts;
  const heard = useSyncExternalStore(live.subscribe, () => live.state().provisional.names);
  const named = useMemo(() => new Map([...heard, ...names]), [heard, names]);
  const app = useMemo<App>(
    () => ({
      ...parts,
      texts,
      session,
      centre,
      names: named,
      teams,
      learn,
      signOut,
      toggleLanguage,
      go: (address) => void (location.hash = address),
    }),
    [parts, texts, session, centre, named, teams, learn, signOut, toggleLanguage],
  );
  const screens = screensOf(session.roles);
  return (
    <AppProvider value={app}>
      <Shell place={place} screens={screens}>
        {place.screen === 'board' && <Board opened={place.alarm} />}
        {place.screen === 'field' && <Field opened={place.alarm} />}
        {place.screen === 'duty' && <DutyPage />}
        {place.screen === 'devices' && <Devices />}
      </Shell>
    </AppProvider>
  );
}
