/** The figures that the composition root itself gives to Prometheus. */
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
