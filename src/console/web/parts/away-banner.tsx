/** While the database is away: what that means for the operator, and afterwards which claims did not hold. */
import { Alert, Button } from '@digdir/designsystemet-react';
import { instantOf, whenText } from '../view/ages.ts';
import { addressOf } from '../view/places.ts';
import { type ClaimNotice, noticesFor } from '../view/provisional.ts';
import { subjectOf } from './alarm-row.tsx';
import { nameOf, refusalText, useApp, useFeed } from './context.tsx';

/** Stays as long as the outage: there is no way to put it away. */
export function AwayBanner() {
  const { texts, clock } = useApp();
  const { away, since, unheard } = useFeed().provisional;
  const t = texts.provisional;
  const at = instantOf(since);
  return (
    <div role="alert">
      {away && (
        <div className="banner" data-kind="away">
          <p>
            <strong>{t.banner(at === null ? null : whenText(at, clock.now()))}</strong>
          </p>
          <p>{t.bannerHelp}</p>
          {unheard > 0 && (
            <p>
              <strong>{t.unheard(unheard)}</strong>
            </p>
          )}
        </div>
      )}
    </div>
  );
}

/** Claims that did not become claims of the alarm: each stays until it was read. */
export function ClaimNotices() {
  const { session } = useApp();
  const { provisional, open } = useFeed();
  const notices = noticesFor(provisional, open, session.account);
  return (
    <div role="alert" className="claim-notices">
      {notices.map((notice) => (
        <Notice key={notice.number} notice={notice} />
      ))}
    </div>
  );
}

function Notice({ notice }: { readonly notice: ClaimNotice }) {
  const app = useApp();
  const { texts, live } = app;
  const { open, gone } = useFeed();
  const t = texts.provisional;
  const { number, was, alarm, code } = notice;
  const real = alarm === null ? null : (open.get(alarm) ?? gone.get(alarm)?.alarm ?? null);
  const who = was !== null ? subjectOf(app, was) : real !== null ? subjectOf(app, real) : number;
  const owner = real?.claimedBy ?? null;
  return (
    <Alert data-color="danger" data-size="sm" data-notice={number}>
      <p>
        <strong>{code === null ? t.claimUnknown(who) : t.claimRefused(who)}</strong>{' '}
        {code !== null && refusalText(app, { status: 409, code, detail: '' })}{' '}
        {owner !== null && owner !== app.session.account && t.hasIt(nameOf(app, owner))}
      </p>
      <p className="notice-acts">
        {alarm !== null && (
          <a href={addressOf({ screen: 'board', alarm })} onClick={() => live.dismiss(number)}>
            {t.openAlarm(alarm)}
          </a>
        )}
        <Button data-size="sm" variant="secondary" data-color="neutral" onClick={() => live.dismiss(number)}>
          {t.understood}
        </Button>
      </p>
    </Alert>
  );
}
