/** The one door to the library that makes certificates. It takes 100 ms to load, so it is loaded when one is made. */

export async function loadX509() {
  // The library's dependency injection needs it there first.
  await import("reflect-metadata");
  return import("@peculiar/x509");
}

export type X509 = Awaited<ReturnType<typeof loadX509>>;
