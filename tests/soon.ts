/**
 * How long a refusal may take: it comes within a second on an idle machine, and one that is busy with
 * other tests gets ten. What is refused too late takes minutes.
 */
export const SOON_MS = 10_000;
