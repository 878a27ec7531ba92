/** Figures for Prometheus: how one is made, and those that the parts observe themselves. Never a person or a device in a label. */
import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

const SECONDS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15, 60];

/** How late deadlines and asks were acted on. */
export function lateness(registry: Registry) {
  const histogram = (name: string, help: string) => new Histogram({ name, help, buckets: SECONDS, registers: [registry] });
  return {
    deadlines: histogram('deadline_late_seconds', 'From the instant of a deadline to the act on it'),
    asks: histogram('ask_late_seconds', 'From the instant when an ask was due to its first try'),
  };
}

/** What came in, by protocol and by what became of it. */
export function intakeCounter(registry: Registry) {
  const labelNames = ['protocol', 'verdict'] as const;
  return new Counter({ name: 'messages_total', help: 'Messages of devices, by what became of them', labelNames, registers: [registry] });
}

/** A figure that is read when it is asked for. */
export function gauge(registry: Registry, name: string, help: string, read: () => number | Promise<number>): void {
  const made: Gauge = new Gauge({
    name,
    help,
    registers: [registry],
    async collect() {
      this.set(await read());
    },
  });
  void made;
}

interface Named<L extends string> {
  readonly name: string;
  readonly help: string;
  readonly labels: readonly L[];
}
/** One figure for each set of labels. */
type Told<L extends string> = readonly (readonly [labels: Record<L, string>, figure: number])[];

/** Figures that are told apart by their labels; read when they are asked for, and gone when they are not told any more. */
export function gauges<L extends string>(
  registry: Registry,
  { name, help, labels }: Named<L>,
  read: () => Told<L> | Promise<Told<L>>,
): void {
  const made: Gauge<L> = new Gauge({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    async collect() {
      const told = await read();
      this.reset();
      for (const [label, value] of told) this.set(label, value);
    },
  });
  void made;
}

/** Counts of one thing, by what they were, that a part keeps itself; read when they are asked for. They only grow. */
export function counts<L extends string>(
  registry: Registry,
  { name, help, labels }: Named<L>,
  read: () => Told<L> | Promise<Told<L>>,
): void {
  const made: Counter<L> = new Counter({
    name,
    help,
    labelNames: labels,
    registers: [registry],
    async collect() {
      const told = await read();
      this.reset();
      for (const [label, value] of told) this.inc(label, value);
    },
  });
  void made;
}

/** The same of one count without labels. */
export const count = (registry: Registry, name: string, help: string, read: () => number): void =>
  counts(registry, { name, help, labels: [] }, () => [[{}, read()]]);
