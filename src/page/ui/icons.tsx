/** The icons of the page: lines of 1.6 on a square of 20. */
const PATHS = {
  inbox:
    'M3 11h4l1.5 2.5h3L13 11h4M3 11v4.5A1.5 1.5 0 0 0 4.5 17h11a1.5 1.5 0 0 0 1.5-1.5V11M3 11l2.4-6.6A1.5 1.5 0 0 1 6.8 3.5h6.4a1.5 1.5 0 0 1 1.4.9L17 11',
  jobs: 'M4 5h12M4 10h12M4 15h7',
  sessions: 'M4 4.5h12a1 1 0 0 1 1 1V13a1 1 0 0 1-1 1H9l-3.5 3V14H4a1 1 0 0 1-1-1V5.5a1 1 0 0 1 1-1Z',
  usage: 'M4 16.5v-5M8 16.5v-9M12 16.5v-7M16 16.5v-12',
  system: 'M3.5 4.5h13v4h-13zM3.5 11.5h13v4h-13zM6 6.5h.01M6 13.5h.01',
} as const;

/** Beside a word, so that screen readers skip it. */
export const Icon = ({ name }: { readonly name: keyof typeof PATHS }) => (
  <svg width="18" height="18" viewBox="0 0 20 20" fill="none" aria-hidden="true">
    <path
      d={PATHS[name]}
      stroke="currentColor"
      stroke-width="1.6"
      stroke-linecap="round"
      stroke-linejoin="round"
    />
  </svg>
);
