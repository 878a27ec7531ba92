/** The sign-in page; on an empty centre it says how to make the first account. */
import { Alert, Button, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { type FormEvent, useEffect, useRef, useState } from 'react';
import type { Problem, Session } from '../contract.ts';
import type { Api } from '../net/http.ts';
import type { Texts } from '../texts/nb.ts';

interface SignInProps {
  readonly texts: Texts;
  readonly api: Api;
  /** What asking for the session said. */
  readonly problem: Problem | null;
  readonly expired: boolean;
  readonly onSignedIn: (session: Session) => void;
  readonly toggleLanguage: () => void;
}

type Told =
  | { readonly is: 'none' }
  | { readonly is: 'missing' }
  | { readonly is: 'away' }
  | { readonly is: 'problem'; readonly problem: Problem };

export function SignIn({ texts, api, problem, expired, onSignedIn, toggleLanguage }: SignInProps) {
  const [told, setTold] = useState<Told>({ is: 'none' });
  const [pending, setPending] = useState(false);
  const [empty, setEmpty] = useState(problem?.code === 'no-accounts' ? problem : null);
  const username = useRef<HTMLInputElement>(null);
  const password = useRef<HTMLInputElement>(null);
  useEffect(() => username.current?.focus(), []);
  useEffect(() => {
    document.title = `${texts.signIn.title} – ${texts.app.product}`;
  }, [texts]);

  async function submit(event: FormEvent): Promise<void> {
    event.preventDefault();
    const typed = { username: username.current?.value.trim() ?? '', password: password.current?.value ?? '' };
    if (typed.username === '' || typed.password === '') return setTold({ is: 'missing' });
    setPending(true);
    const answer = await api.post<Session>('/api/v1/session', typed);
    if (answer.ok) {
      // The answer may hold no more than "signed in": who it is, is asked in the same words as at any other start.
      const session = answer.value?.roles === undefined ? await api.get<Session>('/api/v1/session') : answer;
      if (session.ok) return onSignedIn(session.value);
    }
    setPending(false);
    if (answer.ok || answer.problem === null) return setTold({ is: 'away' });
    if (answer.problem.code === 'no-accounts') setEmpty(answer.problem);
    setTold({ is: 'problem', problem: answer.problem });
    password.current?.select();
  }

  return (
    <div className="sign-in">
      <main className="sign-in-box">
        <p className="sign-in-product">
          <img src="/icon.svg" alt="" width="40" height="40" />
          {texts.app.product}
        </p>
        <Heading level={1} data-size="md">
          {texts.signIn.title}
        </Heading>
        {empty !== null && (
          <Alert data-color="warning">
            <Heading level={2} data-size="2xs">
              {texts.signIn.noAccounts}
            </Heading>
            <Paragraph>{texts.signIn.noAccountsHelp}</Paragraph>
            <pre className="command">{empty.command ?? 'npm run admin -- user add'}</pre>
          </Alert>
        )}
        {expired && told.is === 'none' && <Alert data-color="info">{texts.signIn.expired}</Alert>}
        <div aria-live="assertive">{told.is !== 'none' && <Alert data-color="danger">{toldText(texts, told)}</Alert>}</div>
        <form onSubmit={(event) => void submit(event)} noValidate>
          <Textfield
            ref={username}
            label={texts.signIn.username}
            name="username"
            autoComplete="username"
            autoCapitalize="none"
            spellCheck={false}
          />
          <Textfield ref={password} label={texts.signIn.password} name="password" type="password" autoComplete="current-password" />
          <Button type="submit" loading={pending}>
            {texts.signIn.submit}
          </Button>
        </form>
        <Button variant="tertiary" data-size="sm" onClick={toggleLanguage} lang={texts.lang === 'nb' ? 'en' : 'nb'}>
          {texts.app.otherLanguage}
        </Button>
      </main>
    </div>
  );
}

function toldText({ signIn }: Texts, told: Exclude<Told, { is: 'none' }>): string {
  if (told.is === 'missing') return signIn.missing;
  if (told.is === 'away') return signIn.away;
  const { problem } = told;
  if (problem.code === 'slowed-down' || problem.status === 429) {
    return problem.retryAfter === undefined ? signIn.slowedUnknown : signIn.slowed(problem.retryAfter);
  }
  if (problem.code === 'no-accounts') return signIn.noAccounts;
  return problem.status >= 500 ? signIn.away : signIn.wrong;
}
