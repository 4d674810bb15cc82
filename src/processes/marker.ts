/**
 * The variable every process of an execution carries. Tools inherit it even under setsid, so that whatever
 * outlives its CLI can be found again, also by the next run of the server.
 */
export const MARKER_VARIABLE = 'BULLPEN_EXECUTION_ID';

/** Whether `marker` is `wanted`, or lies under it when `wanted` ends in a slash (`<nodeId>/`). */
export const markerMatches = (marker: string, wanted: string): boolean =>
  wanted.endsWith('/') ? marker.startsWith(wanted) : marker === wanted;
