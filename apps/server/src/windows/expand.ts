/** What the rest of the server imports: a schedule turned into moments. All of it is pure; the moment is an argument. */
export { occurrences, openIntervals, type Occurrence } from './open.js';
export { preview, type Preview, type Taken } from './preview.js';
export { stateAt, type State } from './state.js';
