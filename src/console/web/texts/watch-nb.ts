/** Norwegian bokmål: the line about the centre's watch on itself, with a word for each step of a round. */

export const watchNb = {
  unknown: 'Egenkontroll: ikke kjørt ennå',
  fine: (seconds: number): string => `Egenkontroll: i orden for ${seconds} s siden`,
  late: (minutes: number): string => `Egenkontroll: ikke i orden på ${minutes} min. Si fra til drift.`,
  never: 'Egenkontroll: har ikke vært i orden. Si fra til drift.',
  failed: (protocol: string, step: string): string => `Egenkontroll: prøvealarm over ${protocol} stoppet ved «${step}». Si fra til drift.`,
  steps: {
    store: 'databasen',
    nodes: 'tjenestene finnes ikke',
    console: 'konsollen åpnes',
    tidy: 'forrige prøve ryddes',
    connect: 'enheten kobler til',
    press: 'alarmen mottas',
    reply: 'enheten får svar',
    board: 'alarmen vises',
    ladder: 'eskaleringsplanen',
    page: 'utrykker varsles',
    claim: 'alarmen tas',
    accept: 'utrykker godtar',
    arrive: 'utrykker er framme',
    report: 'utrykker rapporterer',
    contact: 'kontakt bekreftes',
    close: 'alarmen avsluttes',
  } as Readonly<Record<string, string>>,
};
