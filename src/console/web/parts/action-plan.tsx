/** What to say and what to do: the prompt to read aloud, and the action plan's steps to tick off. */
import { Checkbox, Heading } from '@digdir/designsystemet-react';
import { useCallback, useState } from 'react';
import type { ActionPlan } from '../contract.ts';
import { useTexts } from './context.tsx';

export interface PlanTicks {
  readonly plan: ActionPlan | null;
  readonly ticked: ReadonlySet<number>;
  readonly tick: (step: number, done: boolean) => void;
}

/** Ticks live as long as the page, so that going to another alarm and back loses nothing. */
const TICKED = new Map<string, ReadonlySet<number>>();
const NONE: ReadonlySet<number> = new Set();

export function usePlanTicks(number: string, plan: ActionPlan | null): PlanTicks {
  const [, redraw] = useState(0);
  const tick = useCallback(
    (step: number, done: boolean) => {
      const next = new Set(TICKED.get(number));
      if (done) next.add(step);
      else next.delete(step);
      TICKED.set(number, next);
      redraw((n) => n + 1);
    },
    [number],
  );
  return { plan, ticked: TICKED.get(number) ?? NONE, tick };
}

/** The plan's own prompt, a usual one where there is no plan; a plan without a prompt has nobody to speak to. */
export function Prompt({ plan }: { readonly plan: ActionPlan | null }) {
  const { card } = useTexts();
  const text = plan === null ? card.defaultPrompt : plan.prompt;
  if (text === null) return null;
  return (
    <figure className="prompt">
      <figcaption>{card.prompt}</figcaption>
      <blockquote>«{text}»</blockquote>
    </figure>
  );
}

export function PlanSteps({ ticks, onlyRequired }: { readonly ticks: PlanTicks; readonly onlyRequired: boolean }) {
  const { card } = useTexts();
  const { plan, ticked, tick } = ticks;
  if (plan === null) return null;
  return (
    <ol className="steps">
      {plan.steps.map((step, index) =>
        onlyRequired && !step.required ? null : (
          // The plan of an alarm does not change while it is open: a step is known by its place.
          <li key={index}>
            <Checkbox
              data-size="sm"
              label={
                <>
                  {step.text}
                  {step.required && <span className="required"> – {card.required}</span>}
                </>
              }
              checked={ticked.has(index)}
              onChange={(event) => tick(index, event.target.checked)}
            />
          </li>
        ),
      )}
    </ol>
  );
}

/** Required steps that are not ticked. */
export const stepsLeft = ({ plan, ticked }: PlanTicks): number =>
  plan?.steps.filter((step, index) => step.required && !ticked.has(index)).length ?? 0;

export function ActionPlanView({ ticks }: { readonly ticks: PlanTicks }) {
  const { card } = useTexts();
  const left = stepsLeft(ticks);
  return (
    <section className="box" aria-labelledby="plan-title">
      <Heading level={3} data-size="2xs" id="plan-title">
        {card.plan}: {ticks.plan?.title}
      </Heading>
      <PlanSteps ticks={ticks} onlyRequired={false} />
      {left > 0 && <p className="quiet">{card.requiredLeft(left)}</p>}
    </section>
  );
}
