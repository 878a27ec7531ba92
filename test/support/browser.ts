/** A real browser for tests of the console: Debian's chromium without a screen, people signed in, axe, and nobody but the centre asked. */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type Browser, type BrowserContext, type Page, chromium } from 'playwright-core';

export const CHROMIUM = process.env['CHROMIUM'] ?? '/usr/bin/chromium';

/** Why browser tests cannot run here; false when they can. With `CI=true` they must. */
export function noBrowser(): string | false {
  if (existsSync(CHROMIUM)) return false;
  const why = `there is no chromium at ${CHROMIUM} (set CHROMIUM, or install it)`;
  if (process.env['CI'] === 'true') throw new Error(why);
  return why;
}

export const WIDE = { width: 1440, height: 900 } as const;
export const PHONE = { width: 390, height: 844 } as const;

export interface Seat {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Requests to other hosts, errors of the page, and answers that say that the page asked wrongly. */
  readonly complaints: string[];
  close(): Promise<void>;
}

/** What the tests themselves bring about: no session before sign-in, an alarm out of sight, a refusal, no network. */
const EXPECTED = /status of 40[149]|ERR_INTERNET_DISCONNECTED|WebSocket connection to|ERR_CONNECTION|ERR_FAILED/;

/** And in a test whose database goes away. */
const WITHOUT_DATABASE = /status of 503/;

export class TestBrowser {
  readonly #browser: Browser;
  readonly #url: string;
  readonly #axe = readFileSync(createRequire(import.meta.url).resolve('axe-core'), 'utf8');

  readonly #databaseGoesAway: boolean;

  private constructor(browser: Browser, url: string, databaseGoesAway: boolean) {
    this.#browser = browser;
    this.#url = url;
    this.#databaseGoesAway = databaseGoesAway;
  }

  static async start(url: string, { databaseGoesAway = false } = {}): Promise<TestBrowser> {
    const args = [
      '--no-sandbox',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      // As people have it: no sound before a gesture.
      '--autoplay-policy=document-user-activation-required',
    ];
    return new TestBrowser(await chromium.launch({ executablePath: CHROMIUM, args }), url, databaseGoesAway);
  }

  /** A browser of one's own, on the sign-in page. */
  async seat(size: { width: number; height: number }, scheme: 'light' | 'dark' = 'light'): Promise<Seat> {
    const context = await this.#browser.newContext({ viewport: size, locale: 'nb-NO', colorScheme: scheme });
    context.setDefaultTimeout(20_000);
    const page = await context.newPage();
    const complaints: string[] = [];
    const own = new URL(this.#url).host;
    context.on('request', (request) => {
      const { protocol, host } = new URL(request.url());
      if (host !== own && protocol !== 'data:') complaints.push(`asked another host: ${request.url()}`);
    });
    page.on('pageerror', (error) => complaints.push(`threw: ${error.message}`));
    page.on('console', (message) => {
      const text = message.text();
      const expected = EXPECTED.test(text) || (this.#databaseGoesAway && WITHOUT_DATABASE.test(text));
      if (message.type() === 'error' && !expected) complaints.push(text);
    });
    await page.goto(this.#url);
    return { page, context, complaints, close: () => context.close() };
  }

  async signedIn(account: string, size: { width: number; height: number } = WIDE, scheme: 'light' | 'dark' = 'light'): Promise<Seat> {
    const seat = await this.seat(size, scheme);
    const { page } = seat;
    await page.getByLabel('Brukernavn').fill(account);
    await page.getByLabel('Passord').fill('demo');
    await page.getByRole('button', { name: 'Logg inn' }).click();
    await page.locator('.feed-status[data-state="live"]').waitFor();
    return seat;
  }

  /** What axe-core finds serious or critical on the page as it is, one line each. */
  async faults(page: Page): Promise<string[]> {
    const found: unknown = await page.evaluate(`${this.#axe}; axe.run(document)`);
    const { violations } = found as { violations: { id: string; impact: string; nodes: { target: string[] }[] }[] };
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(' ')).join(', ')}`);
  }

  async stop(): Promise<void> {
    await this.#browser.close();
  }
}
