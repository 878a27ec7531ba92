/** English: the line about the centre's watch on itself, with a word for each step of a round. */
import type { watchNb } from './watch-nb.ts';

export const watchEn: typeof watchNb = {
  unknown: 'Self-check: not run yet',
  fine: (seconds) => `Self-check: fine ${seconds} s ago`,
  late: (minutes) => `Self-check: not fine for ${minutes} min. Tell operations.`,
  never: 'Self-check: has not been fine. Tell operations.',
  failed: (protocol, step) => `Self-check: test alarm over ${protocol} stopped at “${step}”. Tell operations.`,
  steps: {
    store: 'the database',
    nodes: 'no services found',
    console: 'opening the console',
    tidy: 'clearing the last one',
    connect: 'the device connects',
    press: 'the alarm is received',
    reply: 'the device is answered',
    board: 'the alarm is shown',
    ladder: 'the ladder',
    page: 'the responder is told',
    claim: 'the alarm is claimed',
    accept: 'the responder accepts',
    arrive: 'the responder arrives',
    report: 'the responder reports',
    contact: 'contact is confirmed',
    close: 'the alarm is closed',
  },
};
