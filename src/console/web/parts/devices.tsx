/** Devices for technicians: who is silent, batteries, credentials, and what was refused, searchable. */
import { Alert, Button, Heading, Paragraph, Switch, Table, Textfield } from '@digdir/designsystemet-react';
import { useEffect, useState } from 'react';
import type { DeviceList, DeviceRow } from '../contract.ts';
import { type DeviceFilter, devicesPath } from '../view/devices.ts';
import { clockTime, useApp, useLoaded, useTurn } from './context.tsx';
import { DeviceTable } from './device-table.tsx';

const TYPING_MS = 250;
/** Devices fall silent while the list stands on a screen. */
const ANEW_MS = 30_000;

export function Devices() {
  const { texts, clock } = useApp();
  const { devices: t } = texts;
  const [typed, setTyped] = useState('');
  const [filter, setFilter] = useState<DeviceFilter>({ search: '', refused: false, silent: false });
  const [cursor, setCursor] = useState<string | null>(null);
  const [before, setBefore] = useState<readonly DeviceRow[]>([]);
  const list = useLoaded<DeviceList>(devicesPath(filter, cursor), useTurn(ANEW_MS));
  const find = (change: Partial<DeviceFilter>): void => {
    setFilter((now) => ({ ...now, ...change }));
    setCursor(null);
    setBefore([]);
  };
  useEffect(() => {
    const timer = clock.after(TYPING_MS, () => find({ search: typed.trim() }));
    return () => timer.cancel();
  }, [clock, typed]);

  const rows = [...before, ...(list.value?.devices ?? [])];
  const next = list.value?.next ?? null;
  const nothingSilent = filter.silent && filter.search === '' && !filter.refused;
  return (
    <div className="page">
      <Heading level={1} data-size="sm">
        {t.title}
      </Heading>
      <form className="device-search" role="search" onSubmit={(event) => event.preventDefault()}>
        <Textfield label={t.search} type="search" value={typed} onChange={(event) => setTyped(event.target.value)} data-size="sm" />
        <Switch label={t.silentOnly} checked={filter.silent} data-size="sm" onChange={(event) => find({ silent: event.target.checked })} />
        <Switch
          label={t.refusedOnly}
          checked={filter.refused}
          data-size="sm"
          onChange={(event) => find({ refused: event.target.checked })}
        />
      </form>
      <p className="quiet" aria-live="polite">
        {list.value === null && list.state === 'loading' ? texts.app.loading : list.value === null ? '' : t.found(rows.length)}
      </p>
      {list.state === 'failed' && (
        <Alert data-color="warning">
          {texts.app.failed}{' '}
          <Button data-size="sm" variant="secondary" onClick={list.again}>
            {texts.app.retry}
          </Button>
        </Alert>
      )}
      {rows.length > 0 && <DeviceTable rows={rows} />}
      {list.value !== null && rows.length === 0 && <Paragraph>{nothingSilent ? t.noneSilent : t.none}</Paragraph>}
      {next !== null && (
        <Button
          variant="secondary"
          data-size="sm"
          onClick={() => {
            setBefore(rows);
            setCursor(next);
          }}
        >
          {t.more}
        </Button>
      )}
      <Strangers refusals={list.value?.refusals ?? []} />
    </div>
  );
}

function Strangers({ refusals }: Pick<DeviceList, 'refusals'>) {
  const app = useApp();
  const { devices: t } = app.texts;
  if (refusals.length === 0) return null;
  return (
    <div className="strangers">
      <Heading level={2} data-size="xs" id="strangers">
        {t.unknownTitle}
      </Heading>
      <Paragraph data-size="sm">{t.unknownHelp}</Paragraph>
      <div className="table-frame" tabIndex={0} role="region" aria-labelledby="strangers">
        <Table data-size="sm" data-color="neutral" className="stacked">
          <thead>
            <tr>
              {[t.source, t.protocol, t.code, t.times, t.last].map((name) => (
                <th key={name} scope="col">
                  {name}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {refusals.map((refusal) => (
              <tr key={`${refusal.protocol} ${refusal.source} ${refusal.code}`}>
                <th scope="row">{refusal.source}</th>
                <td data-label={t.protocol}>{refusal.protocol.toUpperCase()}</td>
                <td data-label={t.code}>{refusal.code}</td>
                <td data-label={t.times}>{refusal.count}</td>
                <td data-label={t.last}>{clockTime(app, refusal.lastAt)}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      </div>
    </div>
  );
}
