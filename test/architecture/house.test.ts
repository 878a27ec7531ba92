/** House rules that no tool of its own guards: sizes, names, first sentences, texts for every word, and documents that tell the truth. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { STATES, WAITS } from '../../src/alarms/alarm.ts';
import { ASK_FAILURES, CHANNELS, CONTACT_WAYS, OUTCOMES, REFUSALS, REPAIRS, ROLES, WITHDRAWABLE } from '../../src/alarms/command.ts';
import { EVENT_NAMES, type EventName, PRIORITY_RULES } from '../../src/alarms/event.ts';
import { KINDS, PRIORITIES } from '../../src/alarms/signal.ts';
import { SETTING_NAMES } from '../../src/base/settings.ts';
import { en } from '../../src/console/web/texts/en.ts';
import { nb } from '../../src/console/web/texts/nb.ts';
import { DUTY_REFUSALS } from '../../src/escalation/duty-order.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const read = (file: string): string => readFileSync(path.join(ROOT, file), 'utf8');

/** Every program file below a folder of the root, by its path from there. */
function programs(folder: string): string[] {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { withFileTypes: true }).flatMap((entry) => {
    const name = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return programs(name);
    return /\.(tsx?|mjs|cjs)$/.test(entry.name) ? [name] : [];
  });
}

const OURS = ['src', 'simulators', 'bench', 'scripts'].flatMap(programs);
const ALL = [...OURS, ...programs('test')];

/** Tables, not programs: they may be as long as what they list. */
const TABLES = [
  'src/protocols/scaip/codes.ts',
  'src/console/web/texts/nb.ts',
  'src/console/web/texts/en.ts',
  'src/console/web/texts/scaip-nb.ts',
  'src/console/web/texts/scaip-en.ts',
];

await t.test('no file is longer than 300 lines, tables apart', async (t) => {
  const long = OURS.filter((file) => !TABLES.includes(file) && read(file).split('\n').length > 301);
  t.same(long, []);
  for (const table of TABLES) t.ok(existsSync(path.join(ROOT, table)), `${table} is still there`);
});

await t.test('every file begins with a sentence on what it is for', async (t) => {
  t.same(
    ALL.filter((file) => !/^(#!.*\n)?\/\*\*/.test(read(file))),
    [],
  );
});

await t.test('no file and no folder has a name that could hold anything', async (t) => {
  const nothing = /^(utils?|helpers?|common|services?|managers?|types|interfaces|misc|shared|lib)$/;
  t.same(
    ALL.filter((file) => file.split('/').some((part) => nothing.test(part.replace(/(\.test)?\.\w+$/, '')))),
    [],
  );
});

await t.test('no name of a pattern instead of a thing, and no default export', async (t) => {
  const patterned: string[] = [];
  const unnamed: string[] = [];
  for (const file of ALL) {
    const text = read(file);
    for (const [, name = ''] of text.matchAll(/^(?:export )?(?:abstract )?(?:class|interface|type|function|const) (\w+)/gm)) {
      if (/^I[A-Z][a-z]/.test(name) || /(Impl|Manager|Service|Utils?|Helper)$/.test(name)) patterned.push(`${file}: ${name}`);
    }
    if (/^export default\b|\bas default\b/m.test(text) && !file.endsWith('vite.config.ts')) unnamed.push(file);
  }
  t.same(patterned, []);
  t.same(unnamed, []);
});

/** Fails to compile when an event has no place in the list that the tests go through. */
const everyEventIsListed: [Exclude<EventName, (typeof EVENT_NAMES)[number]>] extends [never] ? true : false = true;

await t.test('every word of the domain has a text, in both languages', async (t) => {
  t.ok(everyEventIsListed);
  const words: Readonly<Record<string, readonly string[]>> = {
    kinds: KINDS,
    priorities: PRIORITIES,
    states: STATES,
    waits: WAITS,
    waitsPassed: WAITS,
    repairs: REPAIRS,
    refusals: REFUSALS,
    outcomes: OUTCOMES,
    roles: ROLES,
    contactWays: [...CONTACT_WAYS, 'override'],
    askFailures: ASK_FAILURES,
    channels: CHANNELS,
    priorityRules: PRIORITY_RULES,
    withdrawables: WITHDRAWABLE,
    dutyRefusals: DUTY_REFUSALS,
    events: EVENT_NAMES,
  };
  for (const [language, texts] of Object.entries({ nb, en })) {
    const tables = new Map(Object.entries(texts as Record<string, unknown>));
    for (const [table, members] of Object.entries(words)) {
      const given = new Map(Object.entries((tables.get(table) ?? {}) as Record<string, unknown>));
      t.same([...given.keys()].toSorted(), [...members].toSorted(), `${language}.${table}`);
      t.same(
        members.filter((member) => (given.get(member) ?? '') === ''),
        [],
        `${language}.${table}: none is empty`,
      );
    }
  }
});

await t.test('both languages say the same things', async (t) => {
  const shape = (value: unknown, at = ''): string[] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, inner]) => shape(inner, `${at}.${key}`))
      : [`${at}: ${typeof value}`];
  t.same(shape(en).toSorted(), shape(nb).toSorted());
});

await t.test('every setting is in the README, and every npm script that it names exists', async (t) => {
  const readme = read('README.md');
  t.same(
    SETTING_NAMES.filter((name) => !readme.includes(`\`${name}\``)),
    [],
  );
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
  const named = [...readme.matchAll(/`?npm (?:run )?([a-z-]+)/g)].map(([, name = '']) => name);
  t.same(
    named.filter((name) => !(name in scripts) && name !== 'install'),
    [],
  );
  t.ok(readme.split('\n').length <= 150, 'under 150 lines');
});

await t.test('every link between the documents leads somewhere', async (t) => {
  const documents = [
    '.',
    'docs',
    ...readdirSync(path.join(ROOT, 'docs'), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [`docs/${entry.name}`] : [],
    ),
  ].flatMap((folder) =>
    readdirSync(path.join(ROOT, folder)).flatMap((name) => (name.endsWith('.md') ? [path.posix.join(folder, name)] : [])),
  );
  const dead = documents.flatMap((file) =>
    [...read(file).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target = '']) => {
      const [to = ''] = target.split('#');
      const leads = to === '' || /^\w+:/.test(to) || existsSync(path.join(ROOT, path.dirname(file), to));
      return leads ? [] : [`${file} → ${target}`];
    }),
  );
  t.same(dead, []);
});
