/** Who, where, how to get in, whom to call, and what the device is: the facts of a card. */
import { Alert, Heading, Tag } from '@digdir/designsystemet-react';
import type { ReactNode } from 'react';
import type { AlarmView } from '../../../alarms/view.ts';
import type { CardHousehold, CardView } from '../contract.ts';
import { accessInOrder, contactsInOrder, percent, said, spaced, telOf } from '../view/facts.ts';
import { ageText } from '../view/ages.ts';
import { type Written, textBeside } from '../view/scaip.ts';
import { useApp, useNow, useTexts } from './context.tsx';

interface BoxProps {
  readonly title: string;
  readonly id: string;
  readonly children: ReactNode;
}

export function Box({ title, id, children }: BoxProps) {
  return (
    <section className="box" aria-labelledby={id}>
      <Heading level={3} data-size="2xs" id={id}>
        {title}
      </Heading>
      {children}
    </section>
  );
}

export function Fact({ name, children, strong }: { readonly name: string; readonly children: ReactNode; readonly strong?: boolean }) {
  if (children === null || children === '') return null;
  return (
    <div className="fact" data-strong={strong}>
      <dt>{name}</dt>
      <dd>{children}</dd>
    </div>
  );
}

export function Tel({ number, label }: { readonly number: string; readonly label?: string }) {
  return (
    <a className="tel" href={telOf(number)} aria-label={label === undefined ? undefined : `${label} ${spaced(number)}`}>
      {spaced(number)}
    </a>
  );
}

export function Residents({ card }: { readonly card: CardView }) {
  const { card: t } = useTexts();
  if (card.household === null) return null;
  return (
    <Box title={t.who} id="card-who">
      {card.residents.length === 0 && <p className="quiet">{t.noResidents}</p>}
      {card.residents.map((resident) => (
        <div key={resident.id} className="resident">
          <p className="resident-name">
            <strong>{resident.name}</strong>
            {resident.age !== null && <span>{t.age(resident.age)}</span>}
            {said(resident.phone) !== null && <Tel number={resident.phone ?? ''} label={resident.name} />}
          </p>
          <dl className="facts">
            <Fact name={t.away} strong>
              {said(resident.away)}
            </Fact>
            <Fact name={t.hearing} strong>
              {said(resident.hearing)}
            </Fact>
            <Fact name={t.language} strong>
              {said(resident.language)}
            </Fact>
            <Fact name={t.health}>{said(resident.health)}</Fact>
            <Fact name={t.notes}>{said(resident.notes)}</Fact>
          </dl>
        </div>
      ))}
    </Box>
  );
}

export function Access({ household }: { readonly household: CardHousehold }) {
  const { card: t } = useTexts();
  const names: Readonly<Record<string, string>> = t.accessNames;
  const known = accessInOrder(household.access, Object.keys(names));
  return (
    <Box title={`${t.where} – ${t.access.toLowerCase()}`} id="card-access">
      <dl className="facts">
        {known.map(([key, value]) => (
          <Fact key={key} name={names[key] ?? key} strong>
            {value}
          </Fact>
        ))}
        {known.length === 0 && <Fact name={t.access}>{t.noAccess}</Fact>}
        <Fact name={t.notes}>{said(household.notes)}</Fact>
        <Fact name={t.zone}>{said(household.zone)}</Fact>
      </dl>
    </Box>
  );
}

export function Contacts({ card }: { readonly card: CardView }) {
  const { card: t } = useTexts();
  const contacts = contactsInOrder(card.contacts);
  return (
    <Box title={t.contacts} id="card-contacts">
      {contacts.length === 0 && <p className="quiet">{t.noContacts}</p>}
      <ol className="contacts">
        {contacts.map((contact) => (
          <li key={`${contact.rank} ${contact.name}`}>
            <span className="contact-name">
              {contact.name}
              {said(contact.relation) !== null && <span className="quiet"> {contact.relation}</span>}
            </span>
            {contact.hasKey && (
              <Tag data-size="sm" data-color="success">
                {t.hasKey}
              </Tag>
            )}
            {said(contact.phone) !== null && <Tel number={contact.phone ?? ''} label={contact.name} />}
          </li>
        ))}
      </ol>
    </Box>
  );
}

interface DeviceFactsProps {
  readonly card: CardView;
  readonly alarm: AlarmView;
  /** What the unit wrote in its newest message, and the line of codes itself; null where no code came. */
  readonly written: Written | null;
  readonly code: string | null;
}

export function DeviceFacts({ card, alarm, written, code }: DeviceFactsProps) {
  const { texts } = useApp();
  const now = useNow();
  const { card: t } = texts;
  const { device, trigger } = card;
  const seen = device === null ? null : ageText(device.lastSeenAt, now);
  return (
    <Box title={t.device} id="card-device">
      <dl className="facts">
        <Fact name={t.deviceEvent} strong>
          {written?.event ?? null}
        </Fact>
        <Fact name={t.devicePlace} strong>
          {written?.place ?? null}
        </Fact>
        <Fact name={t.deviceText} strong>
          {textBeside(alarm.text, written)}
        </Fact>
        <Fact name={t.deviceType}>{written?.type ?? null}</Fact>
        <Fact name={t.trigger}>
          {trigger === null
            ? alarm.trigger === ''
              ? t.triggerUnit
              : alarm.trigger
            : [trigger.name ?? trigger.id, trigger.room].filter((part) => said(part) !== null).join(', ')}
        </Fact>
        {written?.unknown.map(([name, text], index) => (
          <Fact key={`${name} ${index}`} name={`${texts.scaip.unknown} ${name}`} strong>
            {text}
          </Fact>
        ))}
        <Fact name={t.deviceMore}>{written === null ? null : written.more.join(' · ')}</Fact>
        <Fact name={t.voice}>{said(alarm.voice) ?? written?.voice ?? null}</Fact>
        <Fact name={texts.devices.serial}>{device?.serial ?? alarm.device}</Fact>
        <Fact name={t.deviceName}>{written?.name ?? null}</Fact>
        <Fact name={t.model}>{device === null ? null : said(device.model)}</Fact>
        <Fact name={t.lastSeen}>{seen === null ? (device === null ? null : texts.devices.never) : t.ago(seen)}</Fact>
        <Fact name={t.battery}>{percent(trigger?.battery ?? device?.battery)}</Fact>
        <Fact name={t.deviceCodes}>{code === null ? null : <span className="codes">{code}</span>}</Fact>
      </dl>
    </Box>
  );
}

export function Raw({ alarm, raw }: { readonly alarm: AlarmView; readonly raw: CardView['raw'] }) {
  const { card: t } = useTexts();
  return (
    <Box title={t.raw} id="card-raw">
      <Alert data-color="warning" data-size="sm">
        {alarm.unreadable ? t.unreadableHelp : alarm.unknownDevice ? t.unknownHelp : t.unknownCodeHelp}
      </Alert>
      {raw !== null && (
        <dl className="raw">
          {raw.text !== null && (
            <div>
              <dt>{t.rawText}</dt>
              <dd>
                <pre tabIndex={0}>{raw.text}</pre>
              </dd>
            </div>
          )}
          <div>
            <dt>{t.rawHex}</dt>
            <dd>
              <pre tabIndex={0}>{raw.hex}</pre>
            </dd>
          </div>
        </dl>
      )}
    </Box>
  );
}
