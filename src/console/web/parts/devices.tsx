/** Devices for technicians: last sign of life, battery, and what was refused, searchable. */
import { Alert, Button, Heading, Paragraph, Switch, Table, Tag, Textfield } from '@digdir/designsystemet-react';
import { useEffect, useState } from 'react';
import type { DeviceList, DeviceRow } from '../contract.ts';
import { ageText } from '../view/ages.ts';
import { percent, said } from '../view/facts.ts';
import { batteryTone, devicesPath, silentTone } from '../view/devices.ts';
import { clockTime, useApp, useLoaded, useNow } from './context.tsx';

const TYPING_MS = 250;

export function Devices() {
  const { texts, clock } = useApp();
  const { devices: t } = texts;
  const [typed, setTyped] = useState('');
  const [search, setSearch] = useState('');
  const [refused, setRefused] = useState(false);
  const [cursor, setCursor] = useState<string | null>(null);
  const [before, setBefore] = useState<readonly DeviceRow[]>([]);
  const list = useLoaded<DeviceList>(devicesPath(search, refused, cursor));
  useEffect(() => {
    const timer = clock.after(TYPING_MS, () => {
      setSearch(typed.trim());
      setCursor(null);
      setBefore([]);
    });
    return () => timer.cancel();
  }, [clock, typed]);

  const rows = [...before, ...(list.value?.devices ?? [])];
  const next = list.value?.next ?? null;
  return (
    <div className="page">
      <Heading level={1} data-size="sm">
        {t.title}
      </Heading>
      <form className="device-search" role="search" onSubmit={(event) => event.preventDefault()}>
        <Textfield label={t.search} type="search" value={typed} onChange={(event) => setTyped(event.target.value)} data-size="sm" />
        <Switch
          label={t.refusedOnly}
          checked={refused}
          data-size="sm"
          onChange={(event) => {
            setRefused(event.target.checked);
            setCursor(null);
            setBefore([]);
          }}
        />
      </form>
      <p className="quiet" aria-live="polite">
        {list.state === 'loading' ? texts.app.loading : list.state === 'ready' ? t.found(rows.length) : ''}
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
      {list.state === 'ready' && rows.length === 0 && <Paragraph>{t.none}</Paragraph>}
      {next !== null && list.state === 'ready' && (
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

function DeviceTable({ rows }: { readonly rows: readonly DeviceRow[] }) {
  const app = useApp();
  const { texts } = app;
  const { devices: t } = texts;
  const now = useNow();
  const states: Readonly<Record<string, string>> = t.states;
  const seenText = (at: string | null): string => {
    const age = ageText(at, now);
    return age === null ? t.never : texts.card.ago(age);
  };
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label={t.title}>
      <Table data-size="sm" data-color="neutral" zebra>
        <thead>
          <tr>
            {[t.serial, t.household, t.model, t.state, t.lastSeen, t.battery, t.mains, t.triggers, t.refusals].map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((device) => {
            return (
              <tr key={device.serial}>
                <th scope="row">
                  {device.serial} <span className="quiet">{device.municipality}</span>
                </th>
                <td>{device.householdName ?? '–'}</td>
                <td>
                  {device.model ?? '–'} <span className="quiet">{device.protocol.toUpperCase()}</span>
                </td>
                <td>{states[device.state] ?? device.state}</td>
                <td>
                  <span className="tone" data-tone={silentTone(device, now)}>
                    {seenText(device.lastSeenAt)}
                    {device.online === false && `, ${t.disconnected}`}
                  </span>
                </td>
                <td>
                  {device.battery === null ? (
                    '–'
                  ) : (
                    <span className="tone" data-tone={batteryTone(device.battery)}>
                      {Math.round(device.battery)} %
                    </span>
                  )}
                </td>
                <td>{device.mains === null ? '–' : device.mains ? t.onMains : t.onBattery}</td>
                <td>
                  {device.triggers.length === 0 && '–'}
                  {device.triggers.map((trigger) => (
                    <span key={trigger.id} className="trigger">
                      {trigger.name ?? trigger.id}
                      <span className="quiet">
                        {' '}
                        {seenText(trigger.seenAt ?? null)}
                        {said(percent(trigger.battery)) === null ? '' : `, ${percent(trigger.battery)}`}
                      </span>
                    </span>
                  ))}
                </td>
                <td>
                  {device.refusals.map((refusal) => (
                    <Tag key={refusal.code} data-size="sm" data-color="danger" title={clockTime(app, refusal.lastAt)}>
                      {refusal.code} × {refusal.count}
                    </Tag>
                  ))}
                  {device.refusals.length === 0 && '–'}
                </td>
              </tr>
            );
          })}
        </tbody>
      </Table>
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
      <div className="table-frame" tabIndex={0} role="region" aria-label={t.unknownTitle}>
        <Table data-size="sm" data-color="neutral">
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
                <td>{refusal.source}</td>
                <td>{refusal.protocol}</td>
                <td>{refusal.code}</td>
                <td>{refusal.count}</td>
                <td>{clockTime(app, refusal.lastAt)}</td>
              </tr>
            ))}
          </tbody>
        </Table>
      </div>
    </div>
  );
}
