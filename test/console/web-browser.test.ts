/** The console in a real browser on the whole real centre: what operators and responders do, and what they must never see. */
import { readFileSync, readdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import t, { type Test } from 'tap';
import { build } from 'vite';
import { startCentre } from '../../src/app.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import viteConfig from '../../src/console/web/vite.config.ts';
import { PHONE, type Seat, TestBrowser, WIDE, noBrowser } from '../support/browser.ts';
import { MqttDevice } from '../support/devices.ts';
import { Person } from '../support/person.ts';
import { startStores, until } from '../support/stores.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-web-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));

await t.test('the built page keeps to a strict content security policy and asks no other host', async (t) => {
  const outDir = path.join(folder, 'built');
  await build({ ...viteConfig, configFile: false, logLevel: 'silent', build: { ...viteConfig.build, outDir } });
  const html = readFileSync(path.join(outDir, 'index.html'), 'utf8');
  t.notMatch(html, /<script(?![^>]*\bsrc=)/, 'no script in the page itself');
  t.notMatch(html, /\son\w+=/, 'no handler in an attribute');
  t.notMatch(html, /(src|href)="(https?:)?\/\//, 'nothing from elsewhere');
  const assets = readdirSync(path.join(outDir, 'assets'));
  const css = assets
    .filter((name) => name.endsWith('.css'))
    .map((name) => readFileSync(path.join(outDir, 'assets', name), 'utf8'))
    .join('');
  t.notMatch(css, /url\(["']?(data:|https?:|\/\/)/, 'icons are files, fonts are the system’s');
  t.notMatch(css, /@import|@font-face/);
  for (const [, icon] of css.matchAll(/url\(\.\/([\w.-]+)\)/g)) t.ok(assets.includes(icon ?? ''), `${icon} is there`);
  const worker = readFileSync(path.join(outDir, 'sw.js'), 'utf8');
  for (const name of assets) t.ok(worker.includes(`/assets/${name}`), `the service worker keeps ${name}`);
  t.notMatch(worker, /^\s*(import|export)\b/m, 'the worker is one classic script');
});

const skip = noBrowser();
if (skip !== false) t.comment(`skipped: ${skip}`);
await t.test('the console in a browser', { skip, timeout: 110_000 }, async (t) => {
  const stores = await startStores();
  const centre = await startCentre({
    settings: {
      ...readSettings({
        HTTP_PORT: '0',
        MQTT_PORT: '0',
        SIP_PORT: '0',
        DATA_DIR: path.join(folder, 'var'),
        CONFIG_DIR: path.join(import.meta.dirname, '../../config'),
      }),
      DATABASE_URL: stores.databaseServer.url,
      REDIS_URL: stores.redisServer.url,
    },
    roles: ['intake', 'escalation', 'console'],
    demo: true,
    log: createLog('silent'),
  });
  const url = centre.ready.http ?? '';
  const browser = await TestBrowser.start(url);
  const device = await MqttDevice.connect(centre.ready.mqtt ?? '', 'NJ-1103-0001');
  const seats: Seat[] = [];
  const seat = async (
    account: string,
    size: { width: number; height: number } = WIDE,
    scheme: 'light' | 'dark' = 'light',
  ): Promise<Seat> => {
    const one = await browser.signedIn(account, size, scheme);
    seats.push(one);
    return one;
  };
  t.teardown(async () => {
    await browser.stop();
    await device.stop();
    await centre.stop();
    await stores.stop();
  });
  const clean = async (t: Test, { page }: Pick<Seat, 'page'>, where: string): Promise<void> => {
    t.same(await browser.faults(page), [], `axe finds nothing serious: ${where}`);
  };

  await t.test('sign-in says what is wrong', async (t) => {
    const one = await browser.seat(PHONE);
    const { page } = one;
    await clean(t, { page }, 'sign-in');
    await page.getByRole('button', { name: 'Logg inn' }).click();
    await page.getByText('Fyll inn både brukernavn og passord.').waitFor();
    await page.getByLabel('Brukernavn').fill('operator');
    await page.getByLabel('Passord').fill('feil');
    await page.keyboard.press('Enter');
    await page.getByText('Feil brukernavn eller passord.').waitFor();
    await one.close();
  });

  const kari = await seat('operator');
  const ola = await seat('operator2');
  const sola = await seat('sola');
  const row = ({ page }: Seat, number: string) => page.locator(`.row[data-number="${number}"]`);

  await t.test('an empty board says so', async (t) => {
    await kari.page.getByText('Ingen åpne alarmer').waitFor();
    await clean(t, kari, 'empty board');
  });

  const first = await device.alarms('call-button');
  await t.test('an alarm comes, is read without being claimed, claimed by one key, and the other sees who', async (t) => {
    const { page } = kari;
    await row(kari, first).waitFor();
    await row(ola, first).waitFor();
    t.equal(await row(kari, first).getAttribute('data-sounding'), 'true', 'it sounds until somebody takes it');
    await clean(t, kari, 'board');
    await page.keyboard.press('t');
    const card = page.getByRole('region', { name: 'Jan-Erik Skjæveland' });
    await card.getByText('Tiltakskort', { exact: false }).first().waitFor();
    t.equal(await row(kari, first).locator('.row-owner').innerText(), 'Venter', 'the first key only opened the card');
    t.ok(await card.locator('a[href^="tel:"]').count(), 'telephone numbers can be called');
    await clean(t, kari, 'card');
    await page.keyboard.press('t');
    await row(kari, first).getByText('Du har alarmen').waitFor();
    await row(ola, first).getByText('Tatt av Kari Operatør').or(row(ola, first).getByText('Tatt av operator')).waitFor();
    t.equal(await row(kari, first).getAttribute('data-sounding'), 'false');
  });

  await t.test('a browser that keeps silent is said to, and one key ends it', async (t) => {
    // A browser that nobody has touched. Chromium lets some of those sound at once all the same, as it sees fit: here it begins
    // suspended, as it does for people, and only resuming it from a key press makes it run.
    const untouched = await browser.seat(WIDE);
    const { page } = untouched;
    await untouched.context.addInitScript({
      content: `globalThis.AudioContext = class extends AudioContext { constructor() { super(); void this.suspend(); } };`,
    });
    await untouched.context.addCookies(await ola.context.cookies());
    await page.goto(url);
    const banner = page.locator('.banner[data-kind="sound"]');
    await banner.getByText('Nye alarmer høres ikke').waitFor();
    await clean(t, untouched, 'sound banner');
    await page.keyboard.press('m');
    await banner.waitFor({ state: 'detached' });
    await untouched.close();
  });

  await t.test('it cannot be closed before contact: the button says why, the server too', async (t) => {
    const { page } = kari;
    const close = page.locator('[data-command="close"]');
    t.equal(await close.getAttribute('aria-disabled'), 'true');
    await page.keyboard.press('l');
    await page.locator('.refusal').getByText('Kan ikke lukkes før noen har hatt kontakt').waitFor();
    const person = await Person.signIn(url, 'operator');
    t.match(await person.tries(first, 'close', { outcome: 'test' }), { status: 409, body: { code: 'no-confirmed-contact' } });
    await page.keyboard.press('Escape');
  });

  await t.test('contact by two keys, then closed with an outcome; letters in a field are letters', async (t) => {
    const { page } = kari;
    await page.keyboard.press('k');
    await page.getByText('Hvordan fikk dere kontakt?').waitFor();
    await clean(t, kari, 'contact panel');
    await page.keyboard.press('1');
    await page.getByText('Kontakt bekreftet: Tale gjennom enheten').waitFor();
    await page.keyboard.press('n');
    await page.getByLabel('Hva skjedde?').fill('');
    await page.keyboard.type('Satt fast i stolen, slekt er tilkalt');
    await page.keyboard.press('Enter');
    await page.locator('.timeline').getByText('Notat: Satt fast i stolen, slekt er tilkalt').waitFor();
    await page.keyboard.press('l');
    await page.getByText('Hvordan endte det?').waitFor();
    await clean(t, kari, 'close panel');
    await page.getByRole('button', { name: 'Lukk alarmen' }).click();
    await page.getByText('Velg hvordan det endte.').waitFor();
    await page.getByLabel('Hjulpet over tale').check();
    for (const step of await page.locator('.close-form .steps input').all()) await step.check();
    await page.getByRole('button', { name: 'Lukk alarmen' }).click();
    await row(kari, first).waitFor({ state: 'detached' });
    await row(ola, first).waitFor({ state: 'detached' });
    await page.getByText('Lukket av').waitFor();
    await page.keyboard.press('Escape');
  });

  await t.test('of two operators at once one gets it, and the other sees who', async () => {
    const number = await device.alarms('fall');
    for (const { page } of [kari, ola]) {
      await page.locator(`.row[data-number="${number}"]`).click();
      await page.locator('[data-command="claim"]').waitFor();
      await page.locator('#card-title').focus();
    }
    await Promise.all([kari.page.keyboard.press('t'), ola.page.keyboard.press('t')]);
    const [mine, others] = await until('one of them has it', async () => {
      const has = async ({ page }: Seat): Promise<boolean> => (await page.locator('.card-state').innerText()).includes('Du har alarmen');
      if (await has(kari)) return [kari, ola] as const;
      return (await has(ola)) ? ([ola, kari] as const) : null;
    });
    await others.page.locator('.card-state').getByText('Tatt av').waitFor();
    await others.page.locator('[data-command="close"][aria-disabled="true"]').waitFor();
    await mine.page.keyboard.press('k');
    await mine.page.keyboard.press('2');
    await mine.page.getByText('Kontakt bekreftet: Telefon').waitFor();
  });

  await t.test('the other municipality’s operator sees nothing', async (t) => {
    await sola.page.getByText('Ingen åpne alarmer').waitFor();
    t.equal(await sola.page.locator('.row').count(), 0);
    await sola.page.goto(`${url}/#/tavle/${first}`);
    await sola.page.getByText('Finnes ikke, eller hører til en kommune du ikke betjener.').waitFor();
  });

  await t.test('the socket is cut: the board says that it is old, and comes back without gaps or doubles', async (t) => {
    const { page, context } = ola;
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    const before = await page.locator('.row').count();
    const cut = await context.newCDPSession(page);
    await cut.send('Network.enable');
    await cut.send('Network.emulateNetworkConditions', { offline: true, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    const other = await MqttDevice.connect(centre.ready.mqtt ?? '', 'NJ-1103-0002');
    const number = await other.alarms('call-button');
    await row(kari, number).waitFor();
    await page.locator('.banner[data-kind="stale"]').waitFor({ timeout: 15_000 });
    await clean(t, ola, 'stale');
    t.equal(await row(ola, number).count(), 0);
    await cut.send('Network.emulateNetworkConditions', { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await row(ola, number).waitFor({ timeout: 15_000 });
    await page.locator('.feed-status[data-state="live"]').waitFor();
    t.equal(await page.locator('.row').count(), before + 1);
    t.equal(await page.locator('.banner[data-kind="stale"]').count(), 0);
    await other.stop();
  });

  await t.test('a responder accepts, arrives and reports from the phone; the operator sees it', async (t) => {
    const natt = await seat('natt', PHONE);
    const { page } = natt;
    const boss = await Person.signIn(url, 'operator');
    const open = await boss.board();
    const target = open.find(({ claimedBy }) => claimedBy === null) ?? open[0];
    if (target === undefined) throw new Error('nothing is open');
    await boss.does(target.number, 'dispatch', { to: 'natt' });
    const asked = page.locator(`#case-${target.number}`);
    await asked.getByRole('button', { name: 'Godta' }).click();
    await clean(t, natt, 'phone page');
    for (const button of await page.locator('.field button, .field .call').all()) {
      const box = await button.boundingBox();
      if (box !== null) t.ok(box.height >= 48, `${await button.innerText()} is large enough to hit`);
    }
    await asked.getByRole('button', { name: '10 min' }).click();
    await asked.getByText('Du er på vei').waitFor();
    await asked.getByRole('button', { name: 'Jeg er framme' }).click();
    await asked.getByText('Du er på stedet').waitFor();
    await row(kari, target.number)
      .getByText('Nils Nattpatrulje på stedet')
      .or(row(kari, target.number).getByText('natt på stedet'))
      .waitFor();
    await asked.getByRole('button', { name: 'Rapporter' }).click();
    await asked.getByRole('button', { name: 'Hjulpet på stedet' }).click();
    await asked.getByText('Rapporten er sendt.').waitFor();
    await row(kari, target.number).getByText('har rapportert').waitFor();
  });

  await t.test('without network: cases stay, acts wait with their time, and a conflict is told', async (t) => {
    const natt2 = await seat('natt2', PHONE);
    const { page, context } = natt2;
    const boss = await Person.signIn(url, 'operator');
    const device3 = await MqttDevice.connect(centre.ready.mqtt ?? '', 'NJ-1103-0003');
    const number = await device3.alarms('call-button');
    await boss.does(number, 'dispatch', { to: 'nattpatrulje' });
    const asked = page.locator(`#case-${number}`);
    await asked.getByRole('button', { name: 'Godta' }).waitFor();
    await until('the card is kept', async () =>
      ((await page.evaluate('localStorage.getItem("responder")')) as string).includes('"residents":[{'),
    );
    await until('the page is kept', async () => page.evaluate('navigator.serviceWorker.controller !== null'));
    await context.setOffline(true);
    const other = await Person.signIn(url, 'natt');
    await other.does(number, 'accept', { etaMinutes: 5 });
    await page.reload();
    await page.getByText('Uten nett.').waitFor({ timeout: 15_000 });
    await asked.getByRole('button', { name: 'Godta' }).click();
    await asked.getByRole('button', { name: '10 min' }).click();
    await page.getByText('1 handling venter på nett').waitFor();
    await asked.getByText('Sendes når nettet er tilbake.').waitFor();
    await asked.getByText('Du er på vei').waitFor();
    await clean(t, natt2, 'phone page without network');
    await context.setOffline(false);
    await asked.getByText('En annen godtok oppdraget først: Nils Nattpatrulje.').waitFor({ timeout: 15_000 });
    await asked.getByText('Tatt av en annen').waitFor();
    await asked.getByRole('button', { name: 'Forstått' }).click();
    await asked.locator('.case-refused').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Logg ut' }).click();
    await page.getByLabel('Brukernavn').waitFor();
    t.equal(await page.evaluate('localStorage.getItem("responder")'), null, 'signing out leaves no case on the phone');
    await page.reload();
    await page.getByLabel('Brukernavn').waitFor();
    t.equal(await page.evaluate('localStorage.length'), 0, 'and nothing of it comes back');
    await device3.stop();
  });

  await t.test('duty and devices, wide and narrow, light and dark', async (t) => {
    const leder = await seat('leder', WIDE, 'dark');
    await clean(t, leder, 'board, dark');
    await leder.page.getByRole('link', { name: 'Vakt' }).click();
    await leder.page.getByRole('heading', { name: 'Nattpatrulje' }).waitFor();
    await clean(t, leder, 'duty, dark');
    const teknisk = await seat('teknisk', PHONE);
    await teknisk.page.getByLabel('Søk etter').fill('NJ-1103-0001');
    await until('one device is found', async () => (await teknisk.page.locator('tbody tr').count()) === 1);
    await clean(t, teknisk, 'devices on a phone');
    t.equal(await teknisk.page.evaluate('document.documentElement.scrollWidth - innerWidth'), 0, 'nothing lies outside of the phone');
    await teknisk.page.getByLabel('Søk etter').fill('');
    await teknisk.page.getByLabel('Bare forsinkede og borte').click();
    await teknisk.page.getByText('Ingen enheter er forsinket eller borte').waitFor();
  });

  await t.test('nobody was asked but the centre, and no page threw', async (t) => {
    for (const { complaints } of seats) t.same(complaints, []);
  });
});
