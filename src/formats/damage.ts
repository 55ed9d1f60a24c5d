/** What to do about a file that is not whole: the hints of all its readers. */

/** Fewer bytes than it says itself. */
export const INCOMPLETE = "the download is incomplete: fetch the file again";
/** Bytes that its format does not allow. */
export const DAMAGED = "the file is damaged: fetch it again";
/** Bytes that no writer of such files writes, and that may be meant to do harm. */
export const TAMPERED = "the file is damaged or was tampered with: fetch it again";
