/** The console in a browser while the database is away: the banner, provisional alarms, claims, and what they become. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import process from 'node:process';
import t, { type Test } from 'tap';
import { startCentre } from '../../src/app.ts';
import { RunningClock } from '../../src/base/clock.ts';
import { createLog } from '../../src/base/log.ts';
import { readSettings } from '../../src/base/settings.ts';
import { createNodes } from '../../src/store/nodes.ts';
import { PHONE, type Seat, TestBrowser, WIDE, noBrowser } from '../support/browser.ts';
import { MqttDevice, scaipUnit } from '../support/devices.ts';
import { TestIntake, early } from '../support/direct.ts';
import { Person } from '../support/person.ts';
import { DEMO, cwdOf, kill, startCentre as startProcess, storeOf } from '../support/process.ts';
import { startStores, until } from '../support/stores.ts';

const folder = mkdtempSync(path.join(tmpdir(), 'responssenter-direct-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
/** A folder that keeps pictures of the screens, for people to look at. */
const pictures = process.env['SCREENSHOTS'];
if (pictures !== undefined) mkdirSync(pictures, { recursive: true });

const skip = noBrowser();
if (skip !== false) t.comment(`skipped: ${skip}`);

/** A centre whose database answers, beside an intake process of a test's own that says it does not. */
await t.test('while the database is away', { skip, timeout: 200_000 }, async (t) => {
  const stores = await startStores();
  const clock = new RunningClock();
  const intake = await TestIntake.start();
  intake.whole = { news: 'whole', storeAway: false, alarms: [] };
  intake.pulses();
  const settings = readSettings({
    HTTP_PORT: '0',
    MQTT_PORT: '0',
    SIP_PORT: '0',
    DATA_DIR: path.join(folder, 'var'),
    CONFIG_DIR: path.join(import.meta.dirname, '../../config'),
  });
  const centre = await startCentre({
    settings: { ...settings, DATABASE_URL: stores.databaseServer.url, REDIS_URL: stores.redisServer.url },
    roles: ['intake', 'escalation', 'console'],
    demo: true,
    log: createLog('silent'),
  });
  const nowhere = { roles: ['intake'], directSha256: null, http: null, mqtt: null, sipUdp: null };
  await createNodes(stores.postgres).announce(
    { ...nowhere, id: '01900000-0000-7000-8000-000000000001', direct: intake.direct },
    clock.now() + 3_600_000,
  );
  const url = centre.ready.http ?? '';
  const browser = await TestBrowser.start(url, { databaseGoesAway: true });
  const device = await MqttDevice.connect(centre.ready.mqtt ?? '', 'NJ-1103-0001');
  t.teardown(async () => {
    await browser.stop();
    await device.stop();
    await centre.stop();
    await intake.stop();
    await stores.stop();
  });
  const row = ({ page }: Seat, number: string) => page.locator(`.row[data-number="${number}"]`);
  const banner = ({ page }: Seat) => page.locator('.banner[data-kind="away"]');
  const picture = async ({ page }: Seat, name: string): Promise<void> => {
    if (pictures !== undefined) await page.screenshot({ path: path.join(pictures, `${name}.png`) });
  };
  const clean = async (t: Test, { page }: Seat, where: string): Promise<void> => {
    t.same(await browser.faults(page), [], `axe finds nothing serious: ${where}`);
  };
  const just = (): { receivedAt: string } => ({ receivedAt: new Date(clock.now()).toISOString() });

  const kari = await browser.signedIn('operator', WIDE);
  const ola = await browser.signedIn('operator2', PHONE);
  const sola = await browser.signedIn('sola', WIDE);
  const seats = [kari, ola, sola];
  const real = await device.alarms('call-button', { text: 'Prøver knappen' });
  await row(kari, real).waitFor();
  await until('the console listens to the intake process', () => intake.connected === 1);

  const fall = early(1, {
    ...just(),
    kind: 'fall',
    household: {
      id: 'x',
      name: 'Bjørg-Åse Østensjø Skjæveland og Tor-Øyvind Håkonsen Bråthen-Ødegård',
      zone: 'Sentrum øst og øyene i skjærgården',
    },
    text: 'Fall registrert på badet, ingen bevegelse siden. Blåbærsyltetøy på gulvet: æøå ÆØÅ.',
    voice: '+4751234567',
    trigger: 'Fallsensor baderom',
  });
  const press = early(2, { ...just(), household: null, priority: 'urgent', kind: 'unreadable', unreadable: true, device: '0123456789' });
  const battery = early(3, { ...just(), priority: 'technical', kind: 'battery-low' });
  const elsewhere = early(4, { ...just(), municipality: '1124' });

  await t.test('a banner says so, and new alarms stand on top, told apart', async (t) => {
    t.equal(await banner(kari).count(), 0);
    intake.holds(true, fall, press, battery, elsewhere);
    for (const seat of [kari, ola]) {
      await banner(seat)
        .getByText(/Databasen svarer ikke siden \d\d:\d\d\. Nye alarmer vises her og er trygt lagret\./)
        .waitFor();
      await row(seat, fall.number).waitFor();
      t.equal(await seat.page.locator('.row').first().getAttribute('data-provisional'), 'true');
    }
    t.match(await row(kari, fall.number).innerText(), /Fall[^]*Foreløpig[^]*Bjørg-Åse Østensjø[^]*Venter[^]*F-00000001/);
    t.equal(await row(kari, fall.number).getAttribute('data-sounding'), 'true');
    t.match(await kari.page.locator('.lane[data-priority="life"] .lane-count').innerText(), /2 foreløpige/);
    await row(sola, elsewhere.number).waitFor();
    t.equal(await row(sola, fall.number).count(), 0, 'only the own municipality’s');
    await clean(t, kari, 'board while away');
    await clean(t, ola, 'phone board while away');
    await picture(kari, 'away-board-wide');
    await picture(ola, 'away-board-phone');
    const natt = await browser.signedIn('natt', PHONE);
    t.equal(await natt.page.locator('.banner[data-kind="away"]').count(), 0, 'responders have their own page');
    await natt.close();
  });

  await t.test('one key opens the card, the next claims; the other sees who', async (t) => {
    intake.answer = ({ ask, claim }) => {
      const claimed = { ...fall, claimedBy: claim.account, claimedAt: new Date(claim.at).toISOString() };
      intake.whole = { news: 'whole', storeAway: true, alarms: [claimed, press, battery, elsewhere] };
      setImmediate(() => intake.say({ news: 'alarm', alarm: claimed }));
      return { answer: ask, result: { claimed } };
    };
    const { page } = kari;
    await page.locator('.row').first().focus();
    await page.keyboard.press('t');
    const card = page.getByRole('region', { name: 'Bjørg-Åse Østensjø Skjæveland' });
    await card.getByText('Fall registrert på badet').waitFor();
    t.equal(intake.asked.length, 0, 'the first key only opened the card');
    t.equal(await card.locator('a[href="tel:+4751234567"]').count(), 1, 'the unit can be called');
    await clean(t, kari, 'provisional card');
    await picture(kari, 'away-card-wide');
    await page.keyboard.press('l');
    await page.locator('.refusal').getByText('Bare «Ta alarmen» kan gjøres').waitFor();
    await page.keyboard.press('Escape');
    await page.keyboard.press('t');
    await row(kari, fall.number).getByText('Du har alarmen').waitFor();
    t.match(intake.asked[0]?.claim, { number: fall.number, account: 'operator', roles: ['operator'] });
    await row(ola, fall.number).getByText('Tatt av Kari Operatør').waitFor();
    t.equal(await row(ola, fall.number).getAttribute('data-sounding'), 'false');
    await picture(kari, 'away-claimed-wide');
    await row(ola, fall.number).click();
    await ola.page.locator('.barred').getByText('Tatt av Kari Operatør').waitFor();
    await picture(ola, 'away-card-phone');
    await ola.page.locator('.card-close').click();
  });

  await t.test('a claim that another was quicker with, or that could not be kept, is said in words', async (t) => {
    intake.answer = ({ ask }) => ({ answer: ask, result: { refused: 'taken-by-another', by: 'operator' } });
    await row(ola, press.number).click();
    await ola.page.locator('[data-command="claim"]').click();
    await ola.page.locator('.refusal').getByText('En annen har tatt alarmen: Kari Operatør.').waitFor();
    intake.answer = ({ ask }) => ({ failed: ask });
    await ola.page.locator('[data-command="claim"]').click();
    await ola.page.locator('.refusal').getByText('Kravet kunne ikke lagres. Ingen har alarmen').waitFor();
    await clean(t, ola, 'refused claim');
    await picture(ola, 'away-refused-phone');
    await ola.page.locator('.card-close').click();
  });

  await t.test('replayed: the card follows to the alarm, and a refused claim is told by name', async (t) => {
    const boss = await Person.signIn(url, 'operator2');
    await boss.does(real, 'claim');
    intake.say({
      news: 'replayed',
      number: fall.number,
      alarm: real,
      claim: { by: 'operator', result: 'refused', code: 'taken-by-another' },
    });
    await row(kari, fall.number).waitFor({ state: 'detached' });
    const notice = kari.page.locator(`[data-notice="${fall.number}"]`);
    await notice.getByText('Du fikk ikke alarmen fra Bjørg-Åse Østensjø').waitFor();
    await notice.getByText('Ola Operatør har den.').waitFor();
    await kari.page.waitForURL(new RegExp(`#/tavle/${real}$`));
    await kari.page.getByRole('region', { name: 'Jan-Erik Skjæveland' }).waitFor();
    await clean(t, kari, 'refused after replay');
    await picture(kari, 'replayed-refused-wide');
    t.equal(await ola.page.locator('[data-notice]').count(), 0, 'only to whom it was refused');
    await notice.getByRole('button', { name: 'Forstått' }).click();
    await notice.waitFor({ state: 'detached' });
    // An old address leads to the alarm that it became.
    await kari.page.goto(`${url}/#/tavle/${fall.number}`);
    await kari.page.reload();
    await kari.page.waitForURL(new RegExp(`#/tavle/${real}$`));
    await kari.page.keyboard.press('Escape');
    intake.say({ news: 'replayed', number: press.number, alarm: null, claim: null });
    await row(kari, press.number).waitFor({ state: 'detached' });
  });

  await t.test('the connection to the intake is lost: its alarms stay, and say so', async (t) => {
    const { whole } = intake;
    intake.whole = null;
    intake.cut();
    await row(kari, battery.number).getByText('Uten forbindelse').waitFor();
    await clean(t, kari, 'lost intake');
    await picture(kari, 'away-lost-wide');
    intake.whole = whole;
    intake.holds(true, battery, elsewhere);
    await until('it is connected again', () => intake.connected === 1);
    await row(kari, battery.number).getByText('Uten forbindelse').waitFor({ state: 'detached' });
  });

  await t.test('two hundred at once', async (t) => {
    intake.say({ news: 'replayed', number: elsewhere.number, alarm: null, claim: null });
    const many = Array.from({ length: 200 }, (_, n) =>
      early(1000 + n, {
        ...just(),
        priority: n % 2 === 0 ? 'life' : 'urgent',
        household: { id: `h${n}`, name: `Husstand ${n} Ærøyvær`, zone: 'øst' },
      }),
    );
    intake.holds(true, ...many, battery);
    await row(kari, many[0]?.number ?? '').waitFor();
    t.equal(await kari.page.locator('.lane[data-priority="life"] .row[data-provisional]').count(), 100);
    const late = early(9000, { kind: 'smoke', receivedAt: new Date(clock.now() + 60_000).toISOString() });
    intake.say({ news: 'alarm', alarm: late });
    await kari.page.locator('.newest').getByText('Røyk').waitFor();
    await kari.page.getByText('1 foreløpig til vises ikke').waitFor();
    await clean(t, kari, 'two hundred');
    await picture(kari, 'away-many-wide');
    await picture(ola, 'away-many-phone');
    await kari.page.getByRole('button', { name: 'English' }).click();
    await banner(kari).getByText('New alarms are shown here and are safely kept.').waitFor();
    await picture(kari, 'away-many-english');
    await kari.page.getByRole('button', { name: 'Norsk' }).click();
  });

  await t.test('the database is back', async (t) => {
    intake.holds(false);
    await until('what intake does not know any more', () => intake.connected === 1);
    await banner(kari).waitFor({ state: 'detached' });
    await banner(ola).waitFor({ state: 'detached' });
    for (const seat of seats) t.same(seat.complaints, [], 'the pages complained of nothing');
  });
});

/** The real thing: PostgreSQL stands still, devices press over both protocols. */
await t.test('a whole centre whose PostgreSQL hangs', { skip, timeout: 200_000 }, async (t) => {
  const { centre, ready } = await startProcess(t, { args: DEMO });
  const browser = await TestBrowser.start(ready.http, { databaseGoesAway: true });
  const device = await MqttDevice.connect(ready.mqtt, 'NJ-1103-0001');
  const other = await MqttDevice.connect(ready.mqtt, 'NJ-1103-0002');
  const unit = scaipUnit(ready.sipUdp, '26317');
  /** PostgreSQL's processes: the one that makes the others stops first, so that none comes after. */
  const signal = (name: 'SIGSTOP' | 'SIGCONT'): void => {
    for (const turn of ['first', 'all'] as const) {
      const database = centre.processes().filter((pid) => cwdOf(pid) === path.join(centre.dataDir, 'postgres'));
      for (const pid of turn === 'first' ? [storeOf(centre, 'postgres') ?? 0] : database) if (pid > 0) kill(pid, name);
    }
  };
  t.teardown(async () => {
    signal('SIGCONT');
    await browser.stop();
    await device.stop();
    await other.stop();
    await unit.stop();
  });
  const kari = await browser.signedIn('operator');
  const { page } = kari;
  const early = page.locator('.row[data-provisional]');
  const real = await other.alarms('call-button');
  await page.locator(`.row[data-number="${real}"]`).waitFor();
  await page.locator(`.row[data-number="${real}"]`).click();
  await page.getByText('Tiltakskort', { exact: false }).first().waitFor();

  signal('SIGSTOP');
  const began = performance.now();
  await Promise.all([
    device.publishes('alarm', JSON.stringify({ id: 'away-1', type: 'fall', text: 'Fall på badet' })),
    unit.act({ name: 'press', trigger: '1' }),
  ]);
  await early.first().waitFor({ timeout: 20_000 });
  t.comment(`on the board ${Math.round(performance.now() - began)} ms after the press`);
  await page.locator('.banner[data-kind="away"]').waitFor();
  await until('both are there', async () => (await early.count()) === 2, 20_000);

  await page.locator('[data-command="claim"]').click();
  await page.locator('.refusal').getByText('Databasen er borte. Alarmen er ikke tatt. Prøv igjen.').waitFor({ timeout: 15_000 });
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');

  const fall = early.filter({ hasText: 'Fall' });
  const number = (await fall.getAttribute('data-number')) ?? '';
  await fall.click();
  await page.locator('[data-command="claim"]').click();
  await fall.getByText('Du har alarmen').waitFor();

  await page.reload();
  await page.locator(`.row[data-number="${real}"]`).waitFor({ timeout: 20_000 });
  await page.locator('.banner[data-kind="away"]').waitFor();
  await page.locator(`.row[data-number="${number}"]`).getByText('Du har alarmen').waitFor();
  t.equal(await early.count(), 2, 'a page opened now shows the board and the provisional alarms');
  await page.getByText('Fall på badet').waitFor();
  if (pictures !== undefined) await page.screenshot({ path: path.join(pictures, 'whole-away.png') });

  signal('SIGCONT');
  await page.locator('.banner[data-kind="away"]').waitFor({ state: 'detached', timeout: 20_000 });
  await until('all are alarms', async () => (await early.count()) === 0, 20_000);
  await page.waitForURL(/#\/tavle\/\d+$/);
  const became = page.url().replace(/^.*\//, '');
  await page.locator(`.row[data-number="${became}"]`).getByText('Du har alarmen').waitFor();
  await page.locator('.timeline').getByText('Tok alarmen').waitFor({ timeout: 15_000 });
  const person = await Person.signIn(ready.http, 'operator');
  t.match(await person.get(`/api/v1/alarms/${number}`), { status: 200, body: { number: became, claimedBy: 'operator' } });
  t.equal(await page.locator('[data-notice]').count(), 0);
  if (pictures !== undefined) await page.screenshot({ path: path.join(pictures, 'whole-back.png') });
  t.same(kari.complaints, []);
});
