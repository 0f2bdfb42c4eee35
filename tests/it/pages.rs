//! The pages, as a browser and as a plain client see them. Those in a browser need `chromedriver`
//! and `chromium` in the path (Debian: chromium-driver), and `npm` once, to fetch what looks at them.

mod axe;
mod browser;
mod journey;
mod requests;
mod rights;
mod site;
mod tour;
mod trouble;
