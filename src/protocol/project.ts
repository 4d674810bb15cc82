/** The project of callers and jobs that name none. */
export const DEFAULT_PROJECT = 'default';
