/** Of a task's priority, above and below 0. */
export const priorityMax = 1_000_000_000;
