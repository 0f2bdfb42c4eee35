//! The pages, as a browser and as a plain client see them. Those in a browser need `chromedriver`
//! and `chromium` in the path (Debian: chromium-driver).

mod browser;
mod journey;
mod requests;
mod rights;
mod site;
