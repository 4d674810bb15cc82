/** The questions of a job, with their options and room for other words. */
import type { Question } from '../../../protocol/approval.ts';
import { spelledOut } from '../../transcript/hostile.ts';

/** What was chosen for one question: labels of options, and other words. */
export interface Answer {
  readonly labels: readonly string[];
  readonly words: string;
}
export const NO_ANSWER: Answer = { labels: [], words: '' };

/** The answers as the server takes them; null: a question has none yet. */
export function answersOf(
  questions: readonly Question[],
  answers: readonly Answer[],
): Readonly<Record<string, string | string[]>> | null {
  const given = questions.map(({ question, multiSelect }, at) => {
    const { labels, words } = answers[at] ?? NO_ANSWER;
    const all = [...labels, ...(words.trim() === '' ? [] : [words.trim()])];
    const answer: string | string[] = multiSelect ? all : (all[0] ?? '');
    return [question, answer] as const;
  });
  return given.every(([, answer]) => answer.length > 0) ? Object.fromEntries(given) : null;
}

interface QuestionsProps {
  readonly id: string;
  readonly questions: readonly Question[];
  readonly answers: readonly Answer[];
  readonly onChange: (answers: readonly Answer[]) => void;
  readonly disabled: boolean;
}

export function Questions({ id, questions, answers, onChange, disabled }: QuestionsProps) {
  const change = (at: number, answer: Answer): void =>
    onChange(questions.map((_, index) => (index === at ? answer : (answers[index] ?? NO_ANSWER))));
  return (
    <>
      {questions.map((question, at) => (
        <OneQuestion
          key={at}
          name={`${id}-${at}`}
          question={question}
          answer={answers[at] ?? NO_ANSWER}
          onChange={(answer) => change(at, answer)}
          disabled={disabled}
        />
      ))}
    </>
  );
}

interface OneQuestionProps {
  readonly name: string;
  readonly question: Question;
  readonly answer: Answer;
  readonly onChange: (answer: Answer) => void;
  readonly disabled: boolean;
}

function OneQuestion({ name, question, answer, onChange, disabled }: OneQuestionProps) {
  const { options, multiSelect } = question;
  const { labels, words } = answer;
  const pick = (label: string, on: boolean): void => {
    if (multiSelect)
      onChange({ labels: on ? [...labels, label] : labels.filter((one) => one !== label), words });
    else onChange({ labels: [label], words: '' });
  };
  return (
    <fieldset class="question" disabled={disabled}>
      <legend>
        {question.header !== null && <span class="tag">{spelledOut(question.header)}</span>}{' '}
        {spelledOut(question.question)}
      </legend>
      {options.map(({ label, description }) => (
        <label key={label} class="option">
          <input
            type={multiSelect ? 'checkbox' : 'radio'}
            name={name}
            checked={labels.includes(label)}
            onChange={(event) => pick(label, event.currentTarget.checked)}
          />
          <span>
            {spelledOut(label)}
            {description !== null && <span class="soft"> – {spelledOut(description)}</span>}
          </span>
        </label>
      ))}
      <input
        class="input"
        aria-label={`Other words for: ${spelledOut(question.question)}`}
        placeholder={options.length === 0 ? 'Your answer' : 'Something else …'}
        value={words}
        onInput={(event) => onChange({ labels: multiSelect ? labels : [], words: event.currentTarget.value })}
      />
    </fieldset>
  );
}
