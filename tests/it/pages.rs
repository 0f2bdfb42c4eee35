//! The pages, as a browser and as a plain client see them. Those in a browser need `chromedriver`
//! and `chromium` in the path (Debian: chromium-driver), and `npm` once, to fetch what looks at them.

mod artifacts;
mod axe;
mod browser;
mod config;
mod crawl;
mod journey;
mod live;
mod past;
mod requests;
mod rights;
pub mod site;
mod tabs;
mod tour;
mod trouble;
mod wizard;
