/** The table of devices: a row each, and on a phone a card each. */
import { Table, Tag } from '@digdir/designsystemet-react';
import type { DeviceRow } from '../contract.ts';
import { ageText } from '../view/ages.ts';
import { batteryTone, silentTone, triggerTone } from '../view/devices.ts';
import { percent, said } from '../view/facts.ts';
import { clockTime, useApp, useNow } from './context.tsx';

export function DeviceTable({ rows }: { readonly rows: readonly DeviceRow[] }) {
  const app = useApp();
  const { devices: t } = app.texts;
  const states: Readonly<Record<string, string>> = t.states;
  const columns = [t.serial, t.lastSeen, t.household, t.model, t.state, t.battery, t.mains, t.triggers, t.login, t.refusals];
  return (
    <div className="table-frame" tabIndex={0} role="region" aria-label={t.title}>
      <Table data-size="sm" data-color="neutral" zebra className="stacked">
        <thead>
          <tr>
            {columns.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((device) => (
            <tr key={device.serial}>
              <th scope="row">
                {device.serial} <span className="quiet">{device.municipality}</span>
              </th>
              <td data-label={t.lastSeen}>
                <span className="tone" data-tone={silentTone(device)}>
                  <Heard silence={device.silence} at={device.lastSeenAt} />
                  {device.online === false && `, ${t.disconnected}`}
                </span>
              </td>
              <td data-label={t.household}>{device.householdName ?? '–'}</td>
              <td data-label={t.model}>
                {device.model ?? '–'} <span className="quiet">{device.protocol.toUpperCase()}</span>
              </td>
              <td data-label={t.state}>{states[device.state] ?? device.state}</td>
              <td data-label={t.battery}>
                {device.battery === null ? (
                  '–'
                ) : (
                  <span className="tone" data-tone={batteryTone(device.battery)}>
                    {percent(device.battery)}
                  </span>
                )}
              </td>
              <td data-label={t.mains}>{device.mains === null ? '–' : device.mains ? t.onMains : t.onBattery}</td>
              <td data-label={t.triggers}>
                <Triggers triggers={device.triggers} />
              </td>
              <td data-label={t.login}>
                <Login device={device} />
              </td>
              <td data-label={t.refusals}>
                {device.refusals.map((refusal) => (
                  <Tag key={refusal.code} data-size="sm" data-color="danger" title={clockTime(app, refusal.lastAt)}>
                    {refusal.code} × {refusal.count}
                  </Tag>
                ))}
                {device.refusals.length === 0 && '–'}
              </td>
            </tr>
          ))}
        </tbody>
      </Table>
    </div>
  );
}

/** In words, so that nobody has to know what a colour means. */
function Heard({ silence, at }: { readonly silence: DeviceRow['silence']; readonly at: string | null }) {
  const app = useApp();
  const { devices: t, card } = app.texts;
  const age = ageText(at, useNow());
  if (age === null) return t.never;
  const ago = card.ago(age);
  return silence === 'none' ? ago : `${t.silences[silence]}: ${t.silentSince(clockTime(app, at), ago)}`;
}

function Triggers({ triggers }: Pick<DeviceRow, 'triggers'>) {
  if (triggers.length === 0) return '–';
  return triggers.map((trigger) => (
    <span key={trigger.id} className="trigger">
      {said(trigger.name) ?? trigger.id}{' '}
      <span className={trigger.silence === 'none' ? 'quiet' : 'tone'} data-tone={triggerTone(trigger)}>
        <Heard silence={trigger.silence} at={trigger.seenAt ?? null} />
      </span>
      {typeof trigger.battery === 'number' && (
        <span className="tone" data-tone={batteryTone(trigger.battery)}>
          ,&nbsp;{percent(trigger.battery)}
        </span>
      )}
    </span>
  ));
}

function Login({ device: { credentials, replyUnacknowledgedAt } }: { readonly device: DeviceRow }) {
  const app = useApp();
  const { devices: t } = app.texts;
  return (
    <>
      <span className="tone" data-tone={credentials === 'missing' ? 'danger' : 'plain'}>
        {t.credentials[credentials]}
      </span>
      {replyUnacknowledgedAt !== null && (
        <span className="trigger tone" data-tone="warning">
          {t.repliesUnheard(clockTime(app, replyUnacknowledgedAt))}
        </span>
      )}
    </>
  );
}
