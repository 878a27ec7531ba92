/** From a device to the consoles: until the last of one and of two hundred has the alarm. */
import type { LoadResult } from '../simulators/load.ts';
import type { Centre } from './centre.ts';
import { type Figure, figureOf } from './figures.ts';
import { runJob } from './job.ts';
import type { ConsolesJob } from './jobs/consoles.ts';
import { emptied } from './offer.ts';
import type { Plan } from './plan.ts';

export async function shownOnConsoles(
  centre: Centre,
  { consoles: { counts, loads } }: Plan,
  add: (...more: Figure[]) => void,
): Promise<void> {
  for (const consoles of counts) {
    for (const load of loads) {
      await emptied(centre);
      const { http, mqtt } = centre.ready;
      const result = await runJob<ConsolesJob, LoadResult>('consoles', { http, mqtt, consoles, load });
      const whom = consoles === 1 ? 'its console' : `the last of ${consoles} consoles`;
      const what = `MQTT at ${load.ratePerSecond}/s, device → ${whom}`;
      const at = `${consoles}-${load.ratePerSecond}`;
      const tenth = counts.includes(consoles / 10) ? [`consoles-${consoles / 10}-${load.ratePerSecond}`] : [];
      add(figureOf(result, 'last', { id: `consoles-${at}`, what, offered: load.ratePerSecond, against: [`fan-out-${at}`, ...tenth] }));
    }
  }
}
