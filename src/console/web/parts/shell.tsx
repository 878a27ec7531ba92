/** The frame of every screen: header, navigation by role, and the banners that must never be missed. */
import { Button, SkipLink } from '@digdir/designsystemet-react';
import { type ReactNode, useEffect } from 'react';
import { type Place, type Screen, addressOf } from '../view/places.ts';
import { AwayBanner, ClaimNotices } from './away-banner.tsx';
import { FeedStatus, StaleBanner } from './feed-status.tsx';
import { useApp } from './context.tsx';
import { WatchStatus } from './watch-status.tsx';

interface ShellProps {
  readonly place: Place;
  readonly screens: readonly Screen[];
  readonly children: ReactNode;
}

export function Shell({ place, screens, children }: ShellProps) {
  const { texts, session, centre, signOut, toggleLanguage } = useApp();
  const product = centre?.name ?? texts.app.product;
  useEffect(() => {
    document.title = `${texts.screens[place.screen]} – ${product}`;
    document.documentElement.dataset['colorScheme'] = place.screen === 'field' ? 'dark' : 'auto';
  }, [place.screen, product, texts]);
  return (
    <div className="shell" data-screen={place.screen}>
      <SkipLink href="#main">{texts.app.skip}</SkipLink>
      <header className="header" data-color-scheme="dark">
        <p className="product">
          <img src="/icon.svg" alt="" width="28" height="28" />
          <span>{product}</span>
        </p>
        {screens.length > 1 && (
          <nav aria-label={texts.app.nav}>
            <ul className="nav">
              {screens.map((screen) => (
                <li key={screen}>
                  <a href={addressOf({ screen, alarm: null })} aria-current={screen === place.screen ? 'page' : undefined}>
                    {texts.screens[screen]}
                  </a>
                </li>
              ))}
            </ul>
          </nav>
        )}
        <div className="header-end">
          <FeedStatus />
          <span className="who" title={session.roles.map((role) => texts.roles[role]).join(', ')}>
            {session.name}
          </span>
          <Button variant="tertiary" data-size="sm" onClick={toggleLanguage} lang={texts.lang === 'nb' ? 'en' : 'nb'}>
            {texts.app.otherLanguage}
          </Button>
          {place.screen !== 'field' && (
            <Button variant="tertiary" data-size="sm" onClick={signOut}>
              {texts.app.signOut}
            </Button>
          )}
        </div>
      </header>
      {place.screen !== 'field' && (
        <>
          <AwayBanner />
          <StaleBanner />
          <ClaimNotices />
        </>
      )}
      {centre?.demo === true && (
        <aside className="demo" aria-label={texts.app.demoShort}>
          {texts.app.demo}
        </aside>
      )}
      <main id="main" className="main" tabIndex={-1}>
        {children}
      </main>
      {place.screen !== 'field' && <WatchStatus />}
    </div>
  );
}
