/** What was read at a step, so that blanks and controls can be seen. */

/** @type {Record<string, string>} */
const SEEN = { " ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍", "": "∅" };

/** @param {string} label */
export const visible = (label) => SEEN[label] ?? label;

/** In quotation marks, after a blank; nothing where there is no label. @param {string | null | undefined} label */
export const quoted = (label) => (label === null || label === undefined ? "" : ` “${visible(label)}”`);
