/** One field of a form that is made from a schema. */
import type { Field } from './form-fields.ts';

interface FieldInputProps {
  readonly field: Field;
  readonly text: string;
  readonly problem: string | null;
  readonly onText: (text: string) => void;
  /** Values that are offered, beside others. */
  readonly offers: readonly string[];
}

export function FieldInput({ field, text, problem, onText, offers }: FieldInputProps) {
  const { path, label, kind, hint } = field;
  const id = `field${path.replaceAll('/', '-')}`;
  const about = hint === '' && problem === null ? undefined : `${id}-about`;
  return (
    <div class={kind === 'text' || kind === 'json' ? 'field wide' : 'field'}>
      <label for={id}>{label}</label>
      <Control {...{ field, text, onText, offers, id }} about={about} bad={problem !== null} />
      {problem !== null ? (
        <span class="problem" id={about}>
          {problem}
        </span>
      ) : (
        hint !== '' && (
          <span class="hint" id={about}>
            {hint}
          </span>
        )
      )}
    </div>
  );
}

interface ControlProps extends Pick<FieldInputProps, 'field' | 'text' | 'onText' | 'offers'> {
  readonly id: string;
  readonly about: string | undefined;
  readonly bad: boolean;
}

function Control({ field, text, onText, offers, id, about, bad }: ControlProps) {
  const { kind, schema } = field;
  const shared = { id, 'aria-describedby': about, 'aria-invalid': bad } as const;
  if (kind === 'choice' || kind === 'yes-no') {
    const values = kind === 'choice' ? (schema.enum ?? []) : ['true', 'false'];
    return (
      <select {...shared} class="input" value={text} onChange={(event) => onText(event.currentTarget.value)}>
        <option value="">Default</option>
        {values.map((value) => (
          <option key={value} value={value}>
            {kind === 'choice' ? value : value === 'true' ? 'yes' : 'no'}
          </option>
        ))}
      </select>
    );
  }
  if (kind === 'text' || kind === 'json' || kind === 'lines' || kind === 'pairs')
    return (
      <textarea
        {...shared}
        class={kind === 'text' ? 'input' : 'input mono'}
        rows={Math.max(kind === 'text' || kind === 'json' ? 3 : 1, text.split('\n').length)}
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  if (kind === 'time')
    return (
      <input
        {...shared}
        class="input"
        type="datetime-local"
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  if (kind === 'number')
    return (
      <input
        {...shared}
        class="input number"
        type="number"
        placeholder="Default"
        step={schema.type === 'integer' ? 1 : 'any'}
        min={schema.minimum}
        max={schema.maximum}
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
    );
  return (
    <>
      <input
        {...shared}
        class="input"
        placeholder="Default"
        maxLength={schema.maxLength}
        list={offers.length > 0 ? `${id}-offers` : undefined}
        value={text}
        onInput={(event) => onText(event.currentTarget.value)}
      />
      {offers.length > 0 && (
        <datalist id={`${id}-offers`}>
          {offers.map((offer) => (
            <option key={offer} value={offer} />
          ))}
        </datalist>
      )}
    </>
  );
}
